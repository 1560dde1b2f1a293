#include "runtime/src/loaded_symbols.h"

#include <elf.h>
#include <link.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace npu_ipc::runtime {
namespace {

using Word = ElfW(Word);

// The parts of one object's dynamic section that a lookup needs.
struct SymbolTable {
  const ElfW(Sym) * symbols = nullptr;
  const char* strings = nullptr;
  const Word* gnu_hash = nullptr;
  const Word* system_v_hash = nullptr;
};

struct Search {
  const char* name;
  uint32_t gnu_hash;
  uint32_t system_v_hash;
  const void* after;  // looked for first; null once it has been passed
  void* found;
};

uint32_t GnuHash(const char* name) {
  uint32_t hash = 5381;
  for (; *name != '\0'; ++name) hash = hash * 33 + static_cast<unsigned char>(*name);
  return hash;
}

uint32_t SystemVHash(const char* name) {
  uint32_t hash = 0;
  for (; *name != '\0'; ++name) {
    hash = (hash << 4) + static_cast<unsigned char>(*name);
    const uint32_t high = hash & 0xf0000000U;
    hash = (hash ^ (high >> 24)) & ~high;
  }
  return hash;
}

SymbolTable ReadDynamicSection(const struct dl_phdr_info& object) {
  SymbolTable table;
  const ElfW(Dyn)* dynamic = nullptr;
  for (size_t i = 0; i < object.dlpi_phnum; ++i) {
    if (object.dlpi_phdr[i].p_type != PT_DYNAMIC) continue;
    dynamic = reinterpret_cast<const ElfW(Dyn)*>(object.dlpi_addr + object.dlpi_phdr[i].p_vaddr);
  }
  if (dynamic == nullptr) return table;
  for (; dynamic->d_tag != DT_NULL; ++dynamic) {
    // glibc has relocated these addresses in place; musl, and the vDSO, have not.
    const ElfW(Addr) value = dynamic->d_un.d_ptr;
    const ElfW(Addr) address = value < object.dlpi_addr ? object.dlpi_addr + value : value;
    if (dynamic->d_tag == DT_SYMTAB) {
      table.symbols = reinterpret_cast<const ElfW(Sym)*>(address);
    } else if (dynamic->d_tag == DT_STRTAB) {
      table.strings = reinterpret_cast<const char*>(address);
    } else if (dynamic->d_tag == DT_GNU_HASH) {
      table.gnu_hash = reinterpret_cast<const Word*>(address);
    } else if (dynamic->d_tag == DT_HASH) {
      table.system_v_hash = reinterpret_cast<const Word*>(address);
    }
  }
  return table;
}

bool Defines(const SymbolTable& table, uint32_t index, const char* name) {
  const ElfW(Sym)& symbol = table.symbols[index];
  const unsigned type = symbol.st_info & 0xfU;
  return symbol.st_shndx != SHN_UNDEF && symbol.st_value != 0 && type == STT_FUNC &&
         strcmp(table.strings + symbol.st_name, name) == 0;
}

// Index of the symbol, or 0 (which is never a definition).
uint32_t FindByGnuHash(const SymbolTable& table, const Search& search) {
  const uint32_t bucket_count = table.gnu_hash[0];
  const uint32_t first_symbol = table.gnu_hash[1];
  const uint32_t bloom_words = table.gnu_hash[2];
  if (bucket_count == 0) return 0;
  const auto* bloom = reinterpret_cast<const ElfW(Addr)*>(table.gnu_hash + 4);
  const auto* buckets = reinterpret_cast<const uint32_t*>(bloom + bloom_words);
  const uint32_t* chains = buckets + bucket_count;
  uint32_t index = buckets[search.gnu_hash % bucket_count];
  if (index < first_symbol) return 0;
  for (;; ++index) {
    const uint32_t hash = chains[index - first_symbol];
    if ((hash | 1U) == (search.gnu_hash | 1U) && Defines(table, index, search.name)) return index;
    if ((hash & 1U) != 0) return 0;
  }
}

uint32_t FindBySystemVHash(const SymbolTable& table, const Search& search) {
  const uint32_t bucket_count = table.system_v_hash[0];
  if (bucket_count == 0) return 0;
  const uint32_t* buckets = table.system_v_hash + 2;
  const uint32_t* chains = buckets + bucket_count;
  uint32_t index = buckets[search.system_v_hash % bucket_count];
  while (index != STN_UNDEF && !Defines(table, index, search.name)) index = chains[index];
  return index;
}

int LookInto(struct dl_phdr_info* object, size_t /*bytes*/, void* argument) {
  auto* search = static_cast<Search*>(argument);
  const SymbolTable table = ReadDynamicSection(*object);
  if (table.symbols == nullptr || table.strings == nullptr) return 0;
  uint32_t index = 0;
  if (table.gnu_hash != nullptr) {
    index = FindByGnuHash(table, *search);
  } else if (table.system_v_hash != nullptr) {
    index = FindBySystemVHash(table, *search);
  }
  if (index == 0) return 0;
  auto* const found = reinterpret_cast<void*>(object->dlpi_addr + table.symbols[index].st_value);
  if (search->after != nullptr) {
    if (found == search->after) search->after = nullptr;
    return 0;
  }
  search->found = found;
  return 1;
}

}  // namespace

void* FindLoadedSymbol(const char* symbol, const void* after) {
  Search search = {symbol, GnuHash(symbol), SystemVHash(symbol), after, nullptr};
  ::dl_iterate_phdr(&LookInto, &search);
  return search.found;
}

}  // namespace npu_ipc::runtime
