/* Read before each source by cppcheck only, which does not look into the system's headers: what
 * their macros are that stand for statements. */
#ifndef CARDEA_LINT_CPPCHECK_H
#define CARDEA_LINT_CPPCHECK_H

#define json_array_foreach(array, index, value)                                                    \
	for (index = 0; index < json_array_size(array) && (value = json_array_get(array, index));  \
	     index++)
#define json_object_foreach(object, key, value)                                                    \
	for (key = json_object_iter_key(json_object_iter(object));                                 \
	     key && (value = json_object_get(object, key));                                        \
	     key = json_object_iter_key(                                                           \
		     json_object_iter_next(object, json_object_key_to_iter(key))))
#define json_object_foreach_safe(object, next, key, value)                                         \
	for (key = json_object_iter_key(json_object_iter(object)),                                 \
	    next = json_object_iter_next(object, json_object_key_to_iter(key));                    \
	     key && (value = json_object_get(object, key)); key = json_object_iter_key(next),      \
	    next = json_object_iter_next(object, json_object_key_to_iter(key)))

#endif
