// header.json and trailer.json: what is accepted is written and read back the same.

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "seed/image_meta.h"
#include "seed/json_seal.h"

namespace {

using namespace drseed::seed;

void check(std::string text) {
  if (const auto header = decode_header(text)) {
    assert(header->range_offset_bytes <= header->disk_bytes && header->disk_bytes <= kDiskBytesMax);
    assert(header->range_offset_bytes % header->segment_bytes == 0);
    const auto again = decode_header(encode_header(*header));
    // Written anew it may be longer than a header can be; then it is refused as a whole.
    assert(again ? *again == *header : text.size() > kHeaderBytesMax / 8);
  }
  text.resize(kTrailerBytes, ' ');
  if (const auto trailer = decode_trailer(text)) {
    assert(trailer->range.end() <= trailer->disk_bytes);
    const auto again = decode_trailer(encode_trailer(*trailer));
    assert(again && *again == *trailer);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string text(reinterpret_cast<const char*>(data), size);
  check(text);
  // Sealed, as a hostile author does: once as a header, once as a trailer of its fixed size.
  for (const std::size_t length : {text.size(), kTrailerBytes}) {
    auto sealed = text;
    sealed.resize(length, ' ');
    const auto field = sealed.find("\"check\": \"");
    if (field == std::string::npos || field + 10 + 64 > sealed.size()) continue;
    check(seal(sealed));
  }
  return 0;
}
