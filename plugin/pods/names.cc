#include "plugin/pods/names.h"

#include <algorithm>

namespace npu_ipc::pods {
namespace {

constexpr size_t kMaxNamespaceNameBytes = 63;
constexpr size_t kMaxQuotedBytes = 160;

bool IsLowerOrDigit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool IsAlphanumeric(char c) { return IsLowerOrDigit(c) || (c >= 'A' && c <= 'Z'); }

}  // namespace

bool IsGroupName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxGroupNameBytes && IsAlphanumeric(name.front()) &&
         IsAlphanumeric(name.back()) && std::all_of(name.begin(), name.end(), [](char c) {
           return IsAlphanumeric(c) || c == '-' || c == '_' || c == '.';
         });
}

bool IsNamespaceName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxNamespaceNameBytes && IsLowerOrDigit(name.front()) &&
         IsLowerOrDigit(name.back()) && std::all_of(name.begin(), name.end(), [](char c) {
           return IsLowerOrDigit(c) || c == '-';
         });
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kSpaces = " \t\r\n";
  const size_t first = text.find_first_not_of(kSpaces);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpaces) - first + 1);
}

std::string Quoted(std::string_view text) {
  std::string quoted(text.substr(0, kMaxQuotedBytes));
  std::replace_if(
      quoted.begin(), quoted.end(), [](char c) { return c < ' ' || c > '~'; }, '?');
  return "'" + quoted + (text.size() > kMaxQuotedBytes ? "...'" : "'");
}

}  // namespace npu_ipc::pods
