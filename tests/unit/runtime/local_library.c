/* A library that a test loads RTLD_LOCAL. Built twice: with a GNU hash table, and with the older
 * one. */
__attribute__((visibility("default"))) int npu_ipc_test_answer(void) { return 42; }
__attribute__((visibility("hidden"))) int npu_ipc_test_hidden(void) { return 43; }
