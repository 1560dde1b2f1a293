// What torch_npu cannot be given as functions that return 0: the operator compiler's options, which
// it sets and reads back when it initialises a device. Nothing is ever compiled.
#include <stddef.h>
#include <string.h>

static const char kNotCompiled[] =
    "disable";  // the value of the one that is read, ACL_OP_JIT_COMPILE

int aclSetCompileopt(int option, const char* value) {
  (void)option;
  (void)value;
  return 0;
}

size_t aclGetCompileoptSize(int option) {
  (void)option;
  return sizeof(kNotCompiled);
}

int aclGetCompileopt(int option, char* value, size_t length) {
  (void)option;
  if (length < sizeof(kNotCompiled)) return 100000;  // ACL_ERROR_INVALID_PARAM
  memcpy(value, kNotCompiled, sizeof(kNotCompiled));
  return 0;
}
