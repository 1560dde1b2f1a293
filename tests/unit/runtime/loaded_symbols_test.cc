#include "runtime/src/loaded_symbols.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <stdlib.h>

namespace npu_ipc::runtime {
namespace {

TEST(LoadedSymbolsTest, FindsWhatTheProgramItselfWouldCall) {
  EXPECT_EQ(FindLoadedSymbol("pthread_create"), ::dlsym(RTLD_DEFAULT, "pthread_create"));
  const auto absolute = FindLoadedFunction<int (*)(int)>("abs");
  ASSERT_NE(absolute, nullptr);
  EXPECT_EQ(absolute(-7), 7);
}

TEST(LoadedSymbolsTest, WhatNobodyDefinesIsNull) {
  EXPECT_EQ(FindLoadedSymbol("npu_ipc_no_such_symbol"), nullptr);
  EXPECT_EQ(FindLoadedSymbol(""), nullptr);
}

TEST(LoadedSymbolsTest, DataIsNoFunction) { EXPECT_EQ(FindLoadedSymbol("environ"), nullptr); }

// As Python's ctypes and torch_npu load AscendCL: invisible to dlsym(RTLD_DEFAULT).
TEST(LoadedSymbolsTest, FindsInLibrariesThatWereLoadedLocally) {
  ASSERT_EQ(FindLoadedSymbol("npu_ipc_test_answer"), nullptr);
  void* const library = ::dlopen(TEST_LIBRARY, RTLD_NOW | RTLD_LOCAL);
  ASSERT_NE(library, nullptr) << ::dlerror();
  EXPECT_EQ(::dlsym(RTLD_DEFAULT, "npu_ipc_test_answer"), nullptr);
  const auto answer = FindLoadedFunction<int (*)()>("npu_ipc_test_answer");
  ASSERT_NE(answer, nullptr);
  EXPECT_EQ(answer(), 42);
  EXPECT_EQ(FindLoadedSymbol("npu_ipc_test_hidden"), nullptr);
  ::dlclose(library);
  EXPECT_EQ(FindLoadedSymbol("npu_ipc_test_answer"), nullptr);
}

}  // namespace
}  // namespace npu_ipc::runtime
