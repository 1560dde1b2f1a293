// The names that annotations and settings hold.
#pragma once

#include <string>
#include <string_view>

namespace npu_ipc::pods {

// For messages: what each name must look like.
inline constexpr std::string_view kGroupNameForm =
    "1 to 127 letters, digits, '-', '_' or '.', a letter or digit first and last";
inline constexpr std::string_view kNamespaceNameForm =
    "1 to 63 lower case letters, digits or '-', a letter or digit first and last";

// runtime/protocol/wire.h: kNameBytes with its NUL; of another namespace's group, with its owner
// and the slash.
inline constexpr size_t kMaxGroupNameBytes = 127;

// The characters of a label's value, so that one can become part of a name.
bool IsGroupName(std::string_view name);

// RFC 1123's label, as Kubernetes wants a namespace's name to be.
bool IsNamespaceName(std::string_view name);

// Without the white space at both ends.
std::string_view Trimmed(std::string_view text);

// 'text', for a message: one line of printable ASCII, cut where it is long.
std::string Quoted(std::string_view text);

}  // namespace npu_ipc::pods
