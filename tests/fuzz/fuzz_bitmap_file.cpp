// A bitmap file of any bytes opens or is refused; what opens can be loaded, repaired and opened again.
//
// Input: sectors as (number, content) pairs over an otherwise empty small file. Checksums are put right first where the
// input asks for it, so that what lies behind them is reached.

#include <xxhash.h>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "bitmap/bitmap_file.h"

namespace {

using namespace drseed;
using namespace drseed::bitmap;

constexpr std::size_t kBytesMax = 1 << 20;

class ByteStore : public BitmapStore {
 public:
  explicit ByteStore(std::vector<std::uint8_t>& bytes) : bytes_(bytes) {}
  std::string name() const override { return "fuzz"; }
  Result<std::uint64_t> size_bytes() override { return bytes_.size(); }
  Result<> read(std::uint64_t offset, std::span<std::uint8_t> out) override {
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset)
      return fail(ErrorCode::kEnvironment, "beyond the end");
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
  }
  Result<> write(std::uint64_t offset, std::span<const std::uint8_t> in) override {
    assert(offset <= bytes_.size() && in.size() <= bytes_.size() - offset);
    std::memcpy(bytes_.data() + offset, in.data(), in.size());
    return {};
  }
  Result<> sync() override { return {}; }

 private:
  std::vector<std::uint8_t>& bytes_;
};

void put_check_right(std::uint8_t* sector) {
  const ul64 check = XXH3_64bits(sector, kSectorBytes - sizeof(ul64));
  std::memcpy(sector + kSectorBytes - sizeof check, &check, sizeof check);
}

void put_record_right(std::uint8_t* sector) {
  RecordHeader header;
  std::memcpy(&header, sector, sizeof header);
  header.payload_bytes = header.payload_bytes % (kSectorBytes - sizeof header + 1);
  header.check = XXH3_64bits(sector + sizeof header, header.payload_bytes);
  header.check = XXH3_64bits(&header, sizeof header);
  std::memcpy(sector, &header, sizeof header);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const std::uint8_t mode = data[0];
  std::vector<std::uint8_t> bytes;
  for (++data, --size; size >= sizeof(ul64) + kSectorBytes;
       data += sizeof(ul64) + kSectorBytes, size -= sizeof(ul64) + kSectorBytes) {
    ul64 number;
    std::memcpy(&number, data, sizeof number);
    const auto at = number % (kBytesMax / kSectorBytes) * kSectorBytes;
    if (bytes.size() < at + kSectorBytes) bytes.resize(at + kSectorBytes);
    std::memcpy(&bytes[at], data + sizeof number, kSectorBytes);
    if ((mode & 1) != 0 && (at < Layout::kRecordBegin || at >= Layout::kRecordBegin + 4 * kRecordBytesMax))
      put_check_right(&bytes[at]);
    if ((mode & 2) != 0 && at >= Layout::kRecordBegin) put_record_right(&bytes[at]);
  }
  // As long as the header says, where that is small.
  if (bytes.size() >= kSectorBytes) {
    if (const auto info = decode_header(Bytes(bytes).first(kSectorBytes)); info) {
      const auto length = Layout(*info).file_bytes();
      if (length <= kBytesMax) bytes.resize(length);
    }
  }
  auto file = BitmapFile::open(std::make_unique<ByteStore>(bytes));
  if (!file) return 0;
  for (std::size_t slot = 0; slot < kSlots; ++slot) {
    auto bits = file->load(SlotId(slot));
    file->add_logged(bits);
    assert(bits.dirty_count() <= file->info().block_count());
  }
  const bool repaired = file->repair().has_value();
  assert(repaired);
  auto again = BitmapFile::open(std::make_unique<ByteStore>(bytes));
  assert(again && again->state() == file->state() && again->damage().empty());
  return 0;
}
