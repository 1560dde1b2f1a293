#include "plugin/config/checks.h"

#include <gtest/gtest.h>

namespace npu_ipc::config {
namespace {

TEST(ChecksTest, TellAnAbsolutePath) {
  EXPECT_TRUE(CheckAbsolutePath("socket.path", "/run/x.sock").ok());
  EXPECT_EQ(CheckAbsolutePath("socket.path", "").code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(CheckAbsolutePath("socket.path", "run/x.sock").message(),
            "socket.path 'run/x.sock' is not an absolute path");
}

TEST(ChecksTest, TellTheFirstFailure) {
  EXPECT_TRUE(FirstFailure({}).ok());
  EXPECT_TRUE(FirstFailure({Status::Ok(), Status::Ok()}).ok());
  EXPECT_EQ(FirstFailure({Status::Ok(), CheckAbsolutePath("a", "x"), CheckAbsolutePath("b", "x")})
                .message(),
            "a 'x' is not an absolute path");
}

}  // namespace
}  // namespace npu_ipc::config
