#include "seed/byte_source.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/interrupt.h"

namespace drseed::seed {
namespace {

Result<std::size_t> read_some(int fd, std::span<std::uint8_t> bytes, const std::string& name, std::uint64_t position) {
  for (;;) {
    // A pipe whose writer stalls must not hold back an interrupt.
    pollfd ready{fd, POLLIN, 0};
    constexpr int kPollMilliseconds = 200;
    if (poll(&ready, 1, kPollMilliseconds) == 0) {
      DRSEED_TRY(check_interrupt());
      continue;
    }
    const ssize_t got = ::read(fd, bytes.data(), bytes.size());
    if (got >= 0) return static_cast<std::size_t>(got);
    if (errno != EINTR) return fail_errno(errno, "{}: cannot be read at offset {}", name, position);
  }
}

}  // namespace

FdSource::FdSource(UniqueFd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

Result<std::size_t> FdSource::read(std::span<std::uint8_t> bytes) {
  std::size_t got = std::min(bytes.size(), ahead_bytes());
  if (got > 0) {
    std::copy_n(ahead_.begin() + static_cast<std::ptrdiff_t>(ahead_used_), got, bytes.begin());
    ahead_used_ += got;
  } else {
    got = DRSEED_TRY(read_some(fd_.get(), bytes, name_, position_bytes_));
  }
  position_bytes_ += got;
  return got;
}

Result<std::span<const std::uint8_t>> FdSource::peek(std::size_t length) {
  if (ahead_used_ > 0) {
    ahead_.erase(ahead_.begin(), ahead_.begin() + static_cast<std::ptrdiff_t>(ahead_used_));
    ahead_used_ = 0;
  }
  while (ahead_.size() < length) {
    const std::size_t had = ahead_.size();
    ahead_.resize(length);
    auto got = read_some(fd_.get(), std::span(ahead_).subspan(had), name_, position_bytes_ + had);
    ahead_.resize(had + got.value_or(0));
    if (!got) return tl::unexpected(std::move(got).error());
    if (*got == 0) break;
  }
  return std::span<const std::uint8_t>(ahead_).first(std::min(length, ahead_.size()));
}

Result<std::size_t> read_full(ByteSource& source, std::span<std::uint8_t> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::size_t got = DRSEED_TRY(source.read(bytes.subspan(done)));
    if (got == 0) break;
    done += got;
  }
  return done;
}

}  // namespace drseed::seed
