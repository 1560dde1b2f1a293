// Tables as kubectl prints them.
#pragma once

#include <stdint.h>

#include <ostream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace npu_ipc::kubectl {

struct Column {
  std::string name;
  bool wide = false;      // shown with -o wide alone
  bool changing = false;  // an age: a row that differs in it alone is the same row (--watch)
};

struct Table {
  std::vector<Column> columns;
  std::vector<std::vector<std::string>> rows;  // a cell for each column
};

struct TableStyle {
  bool wide = false;
  bool headers = true;
};

// Columns three spaces apart and no wider than they need be, as `kubectl get` has it; an empty cell
// is <none>. What a cell has of control characters is replaced: it may come from a container.
void PrintTable(const Table& table, const TableStyle& style, std::ostream& out);

// Prints each table that it is given: the first whole, of the following what is new or otherwise.
class TableWatcher {
 public:
  TableWatcher(const TableStyle& style, std::ostream& out) : style_(style), out_(out) {}
  void Print(const Table& table);

 private:
  TableStyle style_;
  std::ostream& out_;
  std::set<std::vector<std::string>> seen_;  // without the cells that change
};

// "45s", "3m12s", "2h5m", "3d", as kubectl shows ages (apimachinery: pkg/util/duration).
std::string FormatAge(int64_t seconds);

// "512Mi", "16Gi", "1.5Gi": at most one decimal.
std::string FormatBytes(uint64_t bytes);

}  // namespace npu_ipc::kubectl
