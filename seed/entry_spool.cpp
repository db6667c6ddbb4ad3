#include "seed/entry_spool.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "base/file.h"

namespace drseed::seed {
namespace {

constexpr std::size_t kTailEntries = 16384;

Result<UniqueFd> open_temporary() {
  const char* folder = std::getenv("TMPDIR");
  if (folder == nullptr || *folder == '\0') folder = "/tmp";
  UniqueFd fd(open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd) return fail_errno(errno, "{}: no temporary file can be made there; set TMPDIR", folder);
  return fd;
}

}  // namespace

Result<> EntrySpool::add(const IndexEntry& entry) {
  if (tail_.size() == kTailEntries) DRSEED_TRY(spill());
  tail_.push_back(entry);
  ++count_;
  if (entry.is_data()) ++data_count_;
  return {};
}

Result<> EntrySpool::spill() {
  if (!file_) file_ = DRSEED_TRY(open_temporary());
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(tail_.data());
  DRSEED_TRY(write_all(file_.get(), {bytes, tail_.size() * sizeof(IndexEntry)}, "temporary index"));
  spilled_ += tail_.size();
  tail_.clear();
  return {};
}

Result<IndexEntry> EntrySpool::at(std::uint64_t number) {
  if (number >= spilled_) return tail_[number - spilled_];
  if (number < chunk_first_ || number >= chunk_first_ + chunk_.size()) {
    chunk_first_ = number;
    chunk_.resize(std::min<std::uint64_t>(spilled_ - number, kTailEntries));
    auto* bytes = reinterpret_cast<std::uint8_t*>(chunk_.data());
    DRSEED_TRY(pread_exactly(file_.get(), {bytes, chunk_.size() * sizeof(IndexEntry)}, number * sizeof(IndexEntry),
                             "temporary index"));
  }
  return chunk_[number - chunk_first_];
}

Result<> EntrySpool::for_each(const std::function<Result<>(const IndexEntry&)>& visit) {
  for (std::uint64_t number = 0; number < count_; ++number) {
    const auto entry = DRSEED_TRY(at(number));
    DRSEED_TRY(visit(entry));
  }
  return {};
}

void EntrySpool::clear() {
  tail_.clear();
  chunk_.clear();
  file_ = UniqueFd();
  spilled_ = count_ = data_count_ = 0;
}

}  // namespace drseed::seed
