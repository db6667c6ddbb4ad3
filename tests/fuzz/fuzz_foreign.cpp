// Any bytes are an image, or damaged, or refused: never a crash, an exception or endless work. A file and a pipe of
// the same bytes that both are read without an error give the same disk.

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "base/digest.h"
#include "base/file.h"
#include "seed/foreign.h"

namespace {

using namespace drseed;

constexpr std::size_t kPipeBytes = 65536;     // fits into a pipe without a reader
constexpr std::uint64_t kReadMax = 16 << 20;  // of a decompression bomb

// The digest of the disk; nothing after an error or beyond kReadMax.
std::optional<Xxh128Digest> read_disk(UniqueFd fd) {
  auto image = seed::open_foreign(std::make_unique<seed::FdSource>(std::move(fd), "fuzz"));
  if (!image) {
    assert(!image.error().context.empty());
    return std::nullopt;
  }
  static std::vector<std::uint8_t> chunk(1 << 20);
  Hasher hasher(DigestKind::kXxh128);
  std::uint64_t total_bytes = 0;
  for (;;) {
    const auto got = image->bytes->read(chunk);
    if (!got) return std::nullopt;
    assert(*got <= chunk.size());
    if (*got == 0) break;
    hasher.update(Bytes(chunk).first(*got));
    total_bytes += *got;
    if (total_bytes > kReadMax) return std::nullopt;
  }
  assert(!image->size_bytes || *image->size_bytes == total_bytes);
  Xxh128Digest digest;
  const auto bytes = hasher.finish();
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return digest;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size >= kPipeBytes) return 0;
  UniqueFd file(memfd_create("fuzz", MFD_CLOEXEC));
  if (!file || !write_all(file.get(), {data, size}, "memfd") || lseek(file.get(), 0, SEEK_SET) != 0) return 0;
  const auto from_file = read_disk(std::move(file));

  int ends[2];
  if (pipe2(ends, O_CLOEXEC) != 0) return 0;
  UniqueFd reading(ends[0]);
  {
    UniqueFd writing(ends[1]);
    if (!write_all(writing.get(), {data, size}, "pipe")) return 0;
  }
  const auto from_pipe = read_disk(std::move(reading));
  if (from_file && from_pipe) assert(*from_file == *from_pipe);
  return 0;
}
