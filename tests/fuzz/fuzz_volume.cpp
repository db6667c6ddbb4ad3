// A whole volume, as a stream and by its index, as it is and with every checksum made to match (a hostile author):
// never a crash or endless work; what is delivered is gapless, ascending and fits the buffers; and two readings that
// are both whole and without a problem give the same disk.

#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <numeric>
#include <optional>

#include "base/digest.h"
#include "base/file.h"
#include "seed/image_reader.h"
#include "seed/json_seal.h"
#include "seed/segment_prover.h"

namespace {

using namespace drseed;
using namespace drseed::seed;

constexpr std::size_t kSegmentsMax = 2000;  // read of one input

// The root over all proven segments, where the image is whole and without a problem.
std::optional<Digest256> read_disk(ImageReader& image) {
  image.set_buffers(2);
  SegmentProver prover;
  std::vector<std::uint8_t> plain;
  std::uint64_t cursor = 0;
  bool good = true;
  for (std::size_t count = 0;; ++count) {
    auto segment = image.next();
    if (!segment || count == kSegmentsMax) return std::nullopt;
    if (!*segment) break;
    const auto& range = (*segment)->range;
    assert(range.offset_bytes == cursor && range.length_bytes > 0 && range.end() <= image.disk_bytes());
    cursor = range.end();
    if ((*segment)->kind == StoredSegment::Kind::kDamaged) good = false;
    if ((*segment)->kind != StoredSegment::Kind::kData) continue;
    assert(range.length_bytes <= image.header().segment_bytes);
    assert((*segment)->stored_at + (*segment)->stored_bytes <= (*segment)->buffer.capacity());
    for (const auto& bad : (*segment)->unreadable)
      assert(bad.offset_bytes >= range.offset_bytes && bad.end() <= range.end());
    plain.resize(range.length_bytes);
    if (!prover.prove(**segment, plain) || !(*segment)->problem.empty()) good = false;
  }
  assert(cursor == image.disk_bytes());
  if (!image.check_metadata() || !image.problems().empty() || !good) return std::nullopt;
  return image.merkle_root();
}

void check(std::string_view bytes) {
  UniqueFd file(memfd_create("fuzz", MFD_CLOEXEC));
  if (!file || !write_all(file.get(), as_bytes(bytes), "memfd") || lseek(file.get(), 0, SEEK_SET) != 0) return;
  const auto path = fmt::format("/proc/self/fd/{}", file.get());
  std::optional<Digest256> by_index, as_stream;
  for (const bool with_payload : {true, false}) {
    ImageReadOptions options;
    options.partial = true;
    options.with_payload = with_payload;
    auto image = ImageReader::open(path, options);
    if (!image) continue;
    if (with_payload) {
      by_index = read_disk(**image);
      continue;
    }
    (*image)->set_buffers(2);
    for (std::size_t count = 0; count < kSegmentsMax; ++count) {
      const auto segment = (*image)->next();
      if (!segment || !*segment) break;
    }
  }
  auto stream = ImageReader::open_stream(std::make_unique<FdSource>(std::move(file), "fuzz"));
  if (stream) as_stream = read_disk(**stream);
  if (by_index && as_stream) assert(*by_index == *as_stream);
}

void mend_tar_header(std::uint8_t* block) {
  std::memset(block + 148, ' ', 8);
  const unsigned sum = std::accumulate(block, block + kTarBlockBytes, 0U);
  char text[16];
  std::snprintf(text, sizeof text, "%06o", sum);
  std::memcpy(block + 148, text, 7);
}

void mend_record(std::string& bytes, std::size_t at) {
  const auto begin = bytes.find("drseed-segment ", at);
  if (begin == std::string::npos || begin > at + 40) return;
  const auto end = bytes.find(" check=", begin);
  if (end == std::string::npos || end + 7 + 16 > bytes.size()) return;
  bytes.replace(end + 7, 16, fmt::format("{:016x}", XXH3_64bits(bytes.data() + begin, end - begin)));
}

void mend_json(std::string& bytes, std::size_t at, std::size_t length) {
  if (at > bytes.size() || length > bytes.size() - at) return;
  const auto text = bytes.substr(at, length);
  const auto field = text.find("\"check\": \"");
  if (field == std::string::npos || field + 10 + 64 > text.size()) return;
  bytes.replace(at, length, seal(text));
}

// Every checksum of the volume made to match what is there.
std::string mend(std::string bytes) {
  for (std::size_t at = 0; at + kTarBlockBytes <= bytes.size(); at += kTarBlockBytes) {
    if (bytes.compare(at + 257, 5, "ustar") == 0) mend_tar_header(reinterpret_cast<std::uint8_t*>(bytes.data()) + at);
    mend_record(bytes, at);
  }
  constexpr std::size_t kTail = kTrailerBytes + kTarEndBytes;
  if (bytes.size() < kTail + kTarBlockBytes) return bytes;
  const auto trailer_at = bytes.size() - kTail;
  const auto first = decode_tar_header(std::span<const std::uint8_t, kTarBlockBytes>(as_bytes(bytes).first(512)));
  if (first) mend_json(bytes, kTarBlockBytes, first->size_bytes);
  mend_json(bytes, trailer_at, kTrailerBytes);
  auto trailer = decode_trailer(std::string_view(bytes).substr(trailer_at, kTrailerBytes));
  if (!trailer) return bytes;
  const auto digest = [&](std::uint64_t at, std::uint64_t length, Digest256& out) {
    if (at <= bytes.size() && length <= bytes.size() - at) out = sha256(as_bytes(bytes).subspan(at, length));
  };
  auto& t = *trailer;
  digest(kTarBlockBytes, t.header_bytes, t.header_sha256);
  digest(t.data_end_position_bytes + kTarBlockBytes, t.sums_bytes, t.sums_sha256);
  if (t.index_bytes >= sizeof(IndexHeader) && t.index_position_bytes <= trailer_at &&
      t.index_bytes <= trailer_at - t.index_position_bytes) {
    auto* index = bytes.data() + t.index_position_bytes;
    const ul64 check = XXH3_64bits(index, offsetof(IndexHeader, check));
    std::memcpy(index + offsetof(IndexHeader, check), &check, sizeof check);
  }
  digest(t.index_position_bytes, t.index_bytes, t.index_sha256);
  digest(t.index_position_bytes + tar_padded_bytes(t.index_bytes) + kTarBlockBytes, t.restore_bytes, t.restore_sha256);
  bytes.replace(trailer_at, kTrailerBytes, encode_trailer(t));
  return bytes;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  check(bytes);
  check(mend(bytes));
  return 0;
}
