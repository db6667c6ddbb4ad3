// A node record is refused, or within its limits and exactly what encoding writes.

#include <cassert>
#include <cstddef>
#include <cstdint>

#include "replicator/core/record_format.h"

namespace {

using namespace drseed;
using namespace drseed::replicator;

void check(Bytes bytes) {
  const auto record = decode_record(bytes);
  if (!record) return;
  assert(check_record(*record) && bytes.size() <= kNodeRecordBytesMax);
  assert(record->members[record->self].present && record->low <= record->high);
  const auto again = encode_record(*record);
  assert(std::equal(again.begin(), again.end(), bytes.begin(), bytes.end()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check({data, size});
  // With a checksum and a length that match, as a hostile author writes it.
  if (size < sizeof(RecordBytes) + sizeof(ul64)) return 0;
  std::vector<std::uint8_t> bytes(data, data + size - sizeof(ul64));
  auto head = struct_at<RecordBytes>(bytes, 0);
  head.bytes = static_cast<std::uint32_t>(size);
  std::memcpy(bytes.data(), &head, sizeof head);
  append(bytes, ul64{XXH3_64bits(bytes.data(), bytes.size())});
  check(bytes);
  return 0;
}
