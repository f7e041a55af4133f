// HashiCorp's KV version 2 secrets engine, the code that Vault and OpenBao run, behind as little of their HTTP API as a
// storage uses: the mount's paths, tokens, and a login with Kubernetes' form. The whole of Vault takes minutes to build.
//
//	kv2 ADDRESS MOUNT TOKEN JWT ROLE [CERT KEY]
//
// TOKEN is a token that is known; a login with JWT and ROLE at auth/kubernetes/login gives others, each for a second.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/sdk/logical"
)

const lease = time.Second

type server struct {
	backend                 logical.Backend
	storage                 logical.Storage
	mount, token, jwt, role string
	lock                    sync.Mutex
	leased                  map[string]time.Time
	logins                  int
}

func reply(w http.ResponseWriter, status int, doc any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if doc != nil {
		json.NewEncoder(w).Encode(doc)
	}
}

func (s *server) login(w http.ResponseWriter, body map[string]any) {
	if body["jwt"] != s.jwt || body["role"] != s.role {
		reply(w, http.StatusForbidden, map[string]any{"errors": []string{"permission denied"}})
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	s.logins++
	token := fmt.Sprintf("leased-%d", s.logins)
	s.leased[token] = time.Now().Add(lease)
	reply(w, http.StatusOK, map[string]any{"auth": map[string]any{"client_token": token, "lease_duration": 3600}})
}

func (s *server) known(token string) bool {
	s.lock.Lock()
	defer s.lock.Unlock()
	return token == s.token || time.Now().Before(s.leased[token])
}

func (s *server) operation(r *http.Request) logical.Operation {
	switch {
	case r.Method == "GET" && r.URL.Query().Get("list") == "true":
		return logical.ListOperation
	case r.Method == "GET":
		return logical.ReadOperation
	case r.Method == "DELETE":
		return logical.DeleteOperation
	}
	return logical.UpdateOperation
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := map[string]any{}
	if r.Method == "POST" && json.NewDecoder(r.Body).Decode(&body) != nil {
		reply(w, http.StatusBadRequest, map[string]any{"errors": []string{"no JSON"}})
		return
	}
	path := strings.TrimPrefix(r.URL.Path, "/v1/")
	if path == "auth/kubernetes/login" {
		s.login(w, body)
		return
	}
	if !s.known(r.Header.Get("X-Vault-Token")) {
		reply(w, http.StatusForbidden, map[string]any{"errors": []string{"permission denied"}})
		return
	}
	inside, found := strings.CutPrefix(path, s.mount+"/")
	if !found {
		reply(w, http.StatusNotFound, map[string]any{"errors": []string{"no handler for route"}})
		return
	}
	q := &logical.Request{Operation: s.operation(r), Path: inside, Data: body, Storage: s.storage, MountPoint: s.mount + "/"}
	if q.Operation == logical.UpdateOperation {
		_, exists, err := s.backend.HandleExistenceCheck(r.Context(), q)
		if err == nil && !exists {
			q.Operation = logical.CreateOperation
		}
	}
	answer, err := s.backend.HandleRequest(r.Context(), q)
	s.answer(w, q, answer, err)
}

func (s *server) answer(w http.ResponseWriter, q *logical.Request, answer *logical.Response, err error) {
	switch {
	case err != nil:
		reply(w, http.StatusBadRequest, map[string]any{"errors": []string{err.Error()}})
	case answer == nil && (q.Operation == logical.ReadOperation || q.Operation == logical.ListOperation):
		reply(w, http.StatusNotFound, map[string]any{"errors": []string{}})
	case answer == nil:
		reply(w, http.StatusNoContent, nil)
	case answer.IsError():
		reply(w, http.StatusBadRequest, map[string]any{"errors": []string{answer.Error().Error()}})
	case answer.Data[logical.HTTPStatusCode] != nil:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.Data[logical.HTTPStatusCode].(int))
		switch raw := answer.Data[logical.HTTPRawBody].(type) {
		case string:
			fmt.Fprint(w, raw)
		case []byte:
			w.Write(raw)
		}
	case q.Operation == logical.ListOperation && answer.Data["keys"] == nil:
		reply(w, http.StatusNotFound, map[string]any{"errors": []string{}})
	default:
		reply(w, http.StatusOK, map[string]any{"data": answer.Data})
	}
}

func main() {
	a := os.Args
	storage := &logical.InmemStorage{}
	backend, err := kv.Factory(context.Background(), &logical.BackendConfig{
		StorageView: storage,
		System:      logical.TestSystemView(),
		BackendUUID: "8b8b2a6e-6d5c-4f0a-9a3e-0e8f1b7d2c11",
		Config:      map[string]string{"version": "2"},
	})
	if err == nil {
		err = backend.Initialize(context.Background(), &logical.InitializationRequest{Storage: storage})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s := &server{backend: backend, storage: storage, mount: a[2], token: a[3], jwt: a[4], role: a[5], leased: map[string]time.Time{}}
	if len(a) > 7 {
		err = http.ListenAndServeTLS(a[1], a[6], a[7], s)
	} else {
		err = http.ListenAndServe(a[1], s)
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
