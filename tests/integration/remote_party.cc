#include "tests/integration/remote_party.h"

#include <signal.h>
#include <stdlib.h>

#include <filesystem>
#include <utility>

#include "hal/base/process.h"

namespace npu_ipc {

std::string Answer::status() const {
  constexpr std::string_view kError = "error ";
  if (line.rfind(kError, 0) != 0) return "";
  return line.substr(kError.size(), line.find(' ', kError.size()) - kError.size());
}

std::string Answer::operator[](const char* key) const {
  const std::string start = std::string(" ") + key + "=";
  const size_t at = ok() ? line.find(start) : std::string::npos;
  if (at == std::string::npos) return "";
  const size_t from = at + start.size();
  return line.substr(from, line.find(' ', from) - from);
}

void PrintTo(const Answer& answer, std::ostream* out) { *out << "'" << answer.line << "'"; }

uint64_t GenerationOf(const Answer& answer) {
  EXPECT_TRUE(answer.ok()) << answer.line;
  return ::strtoull(answer["generation"].c_str(), nullptr, 10);
}

RemoteParty::RemoteParty(PodRecord pod, std::unique_ptr<Container> container)
    : pod_(std::move(pod)), container_(std::move(container)) {}

Answer RemoteParty::Do(const std::string& command) {
  Tell(command);
  return Hear();
}

void RemoteParty::Tell(const std::string& command) {
  const Status told = container_->process().WriteLine(command);
  EXPECT_TRUE(told.ok()) << PodName() << ", '" << command << "': " << told.message();
}

Answer RemoteParty::Hear(std::chrono::milliseconds deadline) {
  const Result<std::string> line = container_->process().ReadLine(deadline);
  if (line.ok()) return {*line};
  const Result<std::string> said = ReadFile(container_->error_file());
  return {"error LOST " + PodName() + ": " + line.status().message() + (said.ok() ? *said : "")};
}

// Threads stop one after another, each when it is next scheduled.
void RemoteParty::Pause() {
  ::kill(host_pid(), SIGSTOP);
  const std::string threads = "/proc/" + std::to_string(host_pid()) + "/task";
  EXPECT_TRUE(WaitUntil([&] {
    for (const auto& thread : std::filesystem::directory_iterator(threads)) {
      const Result<std::string> status = ReadFile(thread.path() / "status");
      if (!status.ok() || status->find("\nState:\tT") == std::string::npos) return false;
    }
    return true;
  })) << PodName()
      << " has not stopped";
}

void RemoteParty::Resume() { ::kill(host_pid(), SIGCONT); }

void RemoteParty::Kill() {
  ::kill(host_pid(), SIGKILL);
  EXPECT_TRUE(container_->process().Wait().ok()) << PodName() << " has not ended";
}

}  // namespace npu_ipc
