// Any text either is an error or gives lines that are read back the same from what drseed writes of them.

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "seed/checksum_file.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace drseed;
  const auto lines = seed::parse_checksum_file(as_text({data, size}));
  if (!lines) return 0;
  std::string written;
  for (const auto& line : *lines) {
    assert(line.digest.size() == size_of(line.kind));
    assert(seed::find_checksum(*lines, line.name) || lines->size() > 1);
    written += seed::format_checksum_line(line);
  }
  const auto again = seed::parse_checksum_file(written);
  assert(again && *again == *lines);
  return 0;
}
