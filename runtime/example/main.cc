// npu-ipc-example: two programs in one, as a tutorial. Start `exporter` in one pod and `importer`
// in another pod of the same group; read exporter.cc and importer.cc beside their output.
#include <getopt.h>

#include <charconv>
#include <iostream>

#include "runtime/example/step.h"

namespace {

constexpr char kHelp[] =
    "Usage: npu-ipc-example exporter|importer [OPTION...]\n"
    "Shares device memory between two pods of one npu-ipc.io/group: the exporter publishes a "
    "region\n"
    "filled with a pattern, the importer attaches to it, checks the pattern and writes its own "
    "back.\n\n"
    "  --name NAME     the region's name (default: example)\n"
    "  --group GROUP   needed where the pod is in several groups\n"
    "  --bytes N       the region's size (exporter; default: 67108864; a multiple of 2 MiB)\n"
    "  --device N      as the container counts its devices (default: 0)\n"
    "  --wait SECONDS  for the other side (default: 30)\n"
    "  --step-by-step  wait for a line on standard input before each step\n"
    "  --help\n";

template <class Number>
bool Parse(const char* text, Number* number) {
  const std::string_view view(text);
  const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), *number);
  return error == std::errc() && end == view.data() + view.size();
}

// False with a reason on stderr when an option is not accepted.
bool ParseArguments(int argc, char** argv, example::Arguments* arguments, bool* help) {
  const option options[] = {
      {"name", required_argument, nullptr, 'n'},  {"group", required_argument, nullptr, 'g'},
      {"bytes", required_argument, nullptr, 'b'}, {"device", required_argument, nullptr, 'd'},
      {"wait", required_argument, nullptr, 'w'},  {"step-by-step", no_argument, nullptr, 's'},
      {"help", no_argument, nullptr, 'h'},        {nullptr, 0, nullptr, 0},
  };
  bool accepted = true;
  for (int chosen; (chosen = getopt_long(argc, argv, "h", options, nullptr)) != -1;) {
    switch (chosen) {
      case 'n':
        arguments->name = optarg;
        break;
      case 'g':
        arguments->group = optarg;
        break;
      case 'b':
        accepted = accepted && Parse(optarg, &arguments->bytes) && arguments->bytes > 0 &&
                   arguments->bytes % (2u << 20) == 0;
        break;
      case 'd':
        accepted = accepted && Parse(optarg, &arguments->device);
        break;
      case 'w':
        accepted = accepted && Parse(optarg, &arguments->wait_seconds);
        break;
      case 's':
        arguments->step_by_step = true;
        break;
      case 'h':
        *help = true;
        break;
      default:
        return false;
    }
    if (!accepted) {
      std::cerr << "npu-ipc-example: '" << optarg << "' is not accepted there\n";
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  example::Arguments arguments;
  bool help = false;
  if (!ParseArguments(argc, argv, &arguments, &help)) return 2;
  if (help) {
    std::cout << kHelp;
    return 0;
  }
  const std::string role = optind + 1 == argc ? argv[optind] : "";
  if (role == "exporter") return example::RunExporter(arguments);
  if (role == "importer") return example::RunImporter(arguments);
  std::cerr << kHelp;
  return 2;
}
