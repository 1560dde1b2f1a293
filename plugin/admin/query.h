// `npu-ipc-broker query`: what `kubectl exec` runs in the broker's container, which has no shell.
#pragma once

#include <functional>
#include <ostream>
#include <string>

#include "hal/base/result.h"
#include "plugin/admin/request.h"

namespace npu_ipc::admin {

// Prints the whole answer as one JSON document, an item a line. What comes in pages is printed as
// it comes, so that neither end ever holds more than a page: after an error the output is no whole
// document. `ask` sends one request (client.h).
Status PrintAnswer(Request request,
                   const std::function<Result<std::string>(const std::string& request)>& ask,
                   std::ostream& out);

// argv[0] is "query". Exit code 0; 1 where there is no answer, with the reason on stderr; 2 where
// the command line is wrong.
int RunQuery(int argc, const char* const* argv);

}  // namespace npu_ipc::admin
