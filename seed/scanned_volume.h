#pragma once
// Reads one volume from its beginning to its end without its index: from a pipe, or a file whose trailer or index is
// damaged or missing. One thread.
//
// Each segment's record says what comes before it, so a member that is missing or damaged becomes a damaged range and
// never a run of zeros. After damage the reader looks for the next record of the same image at the next block
// boundaries.

#include <deque>
#include <memory>

#include "seed/byte_source.h"
#include "seed/stored_segment.h"
#include "seed/tar_format.h"

namespace drseed::seed {

class ScannedVolume : public VolumeReader {
 public:
  // Reads the header; kDiffers if it is damaged, since nothing can be placed without it. `source` must outlive the
  // volume, which leaves it behind the end of the volume's tar.
  static Result<std::unique_ptr<ScannedVolume>> open(FdSource& source);

  void use_pool(block::BufferPool& pool) { pool_ = &pool; }

  Result<std::optional<StoredSegment>> next() override;
  const ImageHeader& header() const override { return header_; }
  const std::optional<ImageTrailer>& trailer() const override { return trailer_; }
  const std::vector<std::string>& problems() const override { return problems_; }

  // Where the last whole data segment's members end: what --resume keeps. Valid after next() returned that segment.
  std::uint64_t good_end_bytes() const { return good_end_bytes_; }

 private:
  explicit ScannedVolume(FdSource& source) : source_(source) {}
  Result<> step();
  Result<> read_segment(const TarMember& pax);
  Result<> read_tail(const TarMember& sums);
  Result<std::string> read_tail_parts(const TarMember& sums);
  Result<bool> read_index(std::uint64_t& bytes, Digest256& digest, IndexEntry& last);
  Result<bool> hash_content(std::uint64_t bytes, Digest256& digest);
  Result<std::optional<TarMember>> read_header_block();
  Result<bool> read_padding(std::uint64_t content_bytes);
  void end_truncated();
  void lose(std::string why);
  void emit_damaged(std::uint64_t until, std::string why);
  void emit_zeros(std::uint64_t until);

  FdSource& source_;
  block::BufferPool* pool_ = nullptr;
  ImageHeader header_;
  std::uint64_t header_bytes_ = 0;
  Digest256 header_sha256_{};
  std::optional<ImageTrailer> trailer_;
  std::vector<std::string> problems_;

  std::deque<StoredSegment> ready_;
  std::uint64_t start_bytes_ = 0;   // of the volume in the source
  std::uint64_t cursor_bytes_ = 0;  // of the disk
  std::optional<std::uint64_t> ordinal_;
  std::string lost_;  // why the reader is looking for the next record; empty while it is not
  std::uint64_t good_end_bytes_ = 0;
  bool finished_ = false;
};

// The header of a volume, if it is whole.
Result<ImageHeader> read_volume_header(const std::string& path);

}  // namespace drseed::seed
