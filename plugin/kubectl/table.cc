#include "plugin/kubectl/table.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

namespace npu_ipc::kubectl {
namespace {

constexpr size_t kGap = 3;

// Bytes of UTF-8 that begin a character: close enough to columns for names of Kubernetes.
size_t Width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string Cell(const std::string& text) {
  if (text.empty()) return "<none>";
  std::string cell = text;
  std::replace_if(
      cell.begin(), cell.end(),
      [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }, '?');
  return cell;
}

}  // namespace

void PrintTable(const Table& table, const TableStyle& style, std::ostream& out) {
  std::vector<std::vector<std::string>> lines;
  if (style.headers) {
    lines.emplace_back();
    for (const Column& column : table.columns) lines.back().push_back(column.name);
  }
  for (const auto& row : table.rows) {
    lines.emplace_back();
    for (const std::string& text : row) lines.back().push_back(Cell(text));
  }
  std::vector<size_t> widths(table.columns.size());
  for (const auto& line : lines) {
    for (size_t i = 0; i < widths.size(); ++i) widths[i] = std::max(widths[i], Width(line[i]));
  }
  for (const auto& line : lines) {
    std::string text;
    size_t pad = 0;
    for (size_t i = 0; i < widths.size(); ++i) {
      if (table.columns[i].wide && !style.wide) continue;
      text.append(pad, ' ');
      text += line[i];
      pad = widths[i] - Width(line[i]) + kGap;
    }
    out << text << "\n";
  }
}

void TableWatcher::Print(const Table& table) {
  const auto lasting = [&](const std::vector<std::string>& row) {
    std::vector<std::string> cells;
    for (size_t i = 0; i < row.size(); ++i) {
      if (!table.columns[i].changing) cells.push_back(row[i]);
    }
    return cells;
  };
  Table changed{table.columns, {}};
  std::set<std::vector<std::string>> now;
  for (const auto& row : table.rows) {
    std::vector<std::string> cells = lasting(row);
    if (!seen_.contains(cells)) changed.rows.push_back(row);
    now.insert(std::move(cells));
  }
  seen_ = std::move(now);
  if (changed.rows.empty()) return;
  PrintTable(changed, style_, out_);
  out_ << std::flush;
  style_.headers = false;
}

std::string FormatAge(int64_t seconds) {
  seconds = std::max<int64_t>(seconds, 0);
  const auto text = [](int64_t value, const char* unit) { return std::to_string(value) + unit; };
  const auto both = [&](int64_t large, const char* large_unit, int64_t small, const char* unit) {
    return text(large, large_unit) + (small == 0 ? "" : text(small, unit));
  };
  const int64_t minutes = seconds / 60;
  const int64_t hours = minutes / 60;
  const int64_t days = hours / 24;
  constexpr int64_t kYear = 365;
  if (seconds < 120) return text(seconds, "s");
  if (minutes < 10) return both(minutes, "m", seconds % 60, "s");
  if (hours < 3) return text(minutes, "m");
  if (hours < 8) return both(hours, "h", minutes % 60, "m");
  if (hours < 48) return text(hours, "h");
  if (days < 8) return both(days, "d", hours % 24, "h");
  if (days < 2 * kYear) return text(days, "d");
  if (days < 8 * kYear) return both(days / kYear, "y", days % kYear, "d");
  return text(days / kYear, "y");
}

std::string FormatBytes(uint64_t bytes) {
  constexpr std::array kUnits = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  char text[32];
  snprintf(text, sizeof(text), "%.1f", value);
  std::string number = text;
  if (number.ends_with(".0")) number.resize(number.size() - 2);
  return number + kUnits[unit];
}

}  // namespace npu_ipc::kubectl
