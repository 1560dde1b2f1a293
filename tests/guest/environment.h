// Where programs of these tests run: with this machine's C library, musl, or Debian 11's; under an
// emulator where they are of another architecture. CMakeLists.txt says how each is started.
#pragma once

#include <ostream>
#include <sstream>
#include <string>
#include <vector>

namespace npu_ipc::test {

struct Environment {
  const char* name;
  const char* directory;  // of its programs
  const char* launcher;   // what comes before a program's path: words, separated by |
  const char* preload;    // what the launcher is told to preload %, likewise; "": LD_PRELOAD

  std::vector<std::string> Command(const std::string& program, const char* library = "") const {
    std::vector<std::string> command;
    AppendWords(launcher, "", &command);
    if (*library != '\0') AppendWords(preload, library, &command);
    command.push_back(std::string(directory) + "/" + program);
    return command;
  }

 private:
  static void AppendWords(const char* text, const std::string& library,
                          std::vector<std::string>* command) {
    std::istringstream words(text);
    for (std::string word; std::getline(words, word, '|');) {
      const size_t place = word.find('%');
      if (place != std::string::npos) word.replace(place, 1, library);
      command->push_back(word);
    }
  }
};

inline void PrintTo(const Environment& environment, std::ostream* out) { *out << environment.name; }

}  // namespace npu_ipc::test

// kEnvironments, kInjectedLibraries: of this build.
#include "environments.h"
