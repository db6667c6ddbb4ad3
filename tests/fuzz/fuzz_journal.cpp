// Any text is an apply journal or refused; the ranges of one that is accepted are in order.

#include <sys/mman.h>

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "base/file.h"
#include "base/unique_fd.h"
#include "seed/apply_journal.h"
#include "seed/json_seal.h"

namespace {

using namespace drseed;

void check(std::string_view text) {
  UniqueFd file(memfd_create("fuzz", MFD_CLOEXEC));
  if (!file || !write_all(file.get(), {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()}, "memfd"))
    return;
  const auto journal = seed::load_journal(fmt::format("/proc/self/fd/{}", file.get()));
  if (!journal) {
    assert(!journal.error().context.empty());
    return;
  }
  assert(*journal);
  std::uint64_t end = 0;
  bool first = true;
  for (const auto& range : (*journal)->done.ranges()) {
    assert(range.length_bytes > 0 && (first || range.offset_bytes > end));
    assert((*journal)->done.contains(range));
    end = range.end();
    first = false;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  check(text);
  const auto field = text.find("\"check\": \"");
  if (field != std::string::npos && field + 10 + 64 <= text.size()) check(seed::seal(text));
  return 0;
}
