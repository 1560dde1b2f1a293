// A certificate authority made at run time, for tests that speak TLS.
#pragma once

#include <memory>
#include <string>
#include <vector>

namespace npu_ipc {

struct TestIdentity {
  std::string certificate;  // PEM
  std::string key;          // PEM
};

// Not thread safe. Aborts where OpenSSL fails: a test cannot go on then.
class TestAuthority {
 public:
  TestAuthority();
  ~TestAuthority();
  TestAuthority(const TestAuthority&) = delete;
  TestAuthority& operator=(const TestAuthority&) = delete;

  const std::string& certificate() const { return certificate_; }  // PEM

  // A certificate for servers and clients, valid from a day ago for `valid_seconds` from now, whose
  // subject alternative names are `names`: "IP:127.0.0.1", "DNS:localhost".
  TestIdentity Issue(const std::vector<std::string>& names, long valid_seconds = 86'400);

 private:
  struct State;
  std::unique_ptr<State> state_;
  std::string certificate_;
};

}  // namespace npu_ipc
