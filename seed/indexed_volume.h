#pragma once
// Reads one volume through its index: a file whose trailer, index and layout are whole. One thread.

#include <memory>

#include "base/unique_fd.h"
#include "seed/segment_framing.h"
#include "seed/stored_segment.h"

namespace drseed::seed {

class IndexedVolume : public VolumeReader {
 public:
  // Checks trailer, layout and the whole index before the first segment; kDiffers where any of them is damaged. A
  // damaged header is only a problem. With with_payload false, segments come without their stored bytes (for a
  // comparison by digest).
  static Result<std::unique_ptr<IndexedVolume>> open(const std::string& path, bool with_payload);

  // Call before the first next(): where payloads go. The pool's buffers hold segment_region_bytes_max().
  void use_pool(block::BufferPool& pool) { pool_ = &pool; }

  Result<std::optional<StoredSegment>> next() override;
  const ImageHeader& header() const override { return header_; }
  const std::optional<ImageTrailer>& trailer() const override { return trailer_; }
  const std::vector<std::string>& problems() const override { return problems_; }

  // Compares every byte outside the segments with what it must be; adds to problems().
  Result<> check_metadata();

 private:
  IndexedVolume() = default;
  Result<> read_trailer(std::uint64_t file_bytes);
  Result<> check_layout(std::uint64_t file_bytes) const;
  Result<> read_header();
  Result<> check_index();
  Result<IndexEntry> entry_at(std::uint64_t number);
  Result<StoredSegment> read_segment(const IndexEntry& entry);
  Result<> read_framed(const IndexEntry& entry, StoredSegment& segment);
  Result<SegmentRecord> read_record(const IndexEntry& entry);
  Result<> check_member(const TarMember& member, std::uint64_t position, const Digest256& digest);
  Result<> check_bytes(std::uint64_t position, std::string_view expected, std::string_view what);

  std::string path_;
  UniqueFd fd_;
  bool with_payload_ = true;
  block::BufferPool* pool_ = nullptr;
  ImageHeader header_;
  std::optional<ImageTrailer> trailer_;
  std::uint64_t mtime_seconds_ = 0;
  std::vector<std::string> problems_;

  IndexBounds bounds_;
  std::uint64_t cursor_bytes_ = 0;  // of the disk
  std::uint64_t entry_count_ = 0;
  std::uint64_t next_entry_ = 0;
  std::vector<IndexEntry> chunk_;
  std::uint64_t chunk_first_ = 0;
  std::uint64_t ordinal_ = 0;
  std::uint64_t zeros_from_bytes_ = 0;
  std::uint64_t position_bytes_ = 0;  // where the next data entry's members must begin
};

}  // namespace drseed::seed
