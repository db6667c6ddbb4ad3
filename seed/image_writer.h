#pragma once
// Writes the segments of a disk, in order, as a seed image of one or several volumes (seed/FORMAT.md).
//
// The caller has hashed and compressed; the writer frames, indexes, splits and seals. Given the same header and
// segments it writes the same bytes, which is how --resume works: what is already there is replayed without output,
// then go_live() continues. One thread. After an Error the writer must not be used; what was written stays for
// --resume.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "seed/entry_spool.h"
#include "seed/image_meta.h"
#include "seed/merkle.h"
#include "seed/volume_output.h"

namespace drseed::seed {

struct FinishedSegment {
  std::uint32_t length_bytes = 0;  // plain
  Digest256 sha256{};
  Digest128 xxh128{};
  std::span<const std::uint8_t> stored;
  std::vector<Range> unreadable;
};

struct ImageSummary {
  std::uint32_t volumes = 0;
  std::uint64_t data_segments = 0;
  std::uint64_t data_bytes = 0;   // plain bytes in segments that are not all zero
  std::uint64_t image_bytes = 0;  // of all volumes
  std::uint64_t unreadable_bytes = 0;
  Digest256 merkle_root{};
};

// "IMAGE", or "IMAGE.001" where it is split.
std::string volume_path(const std::string& image_path, std::uint64_t volume_bytes, std::uint32_t volume);

class ImageWriter {
 public:
  // The smallest volume_bytes that holds one segment.
  static std::uint64_t volume_bytes_min(const ImageHeader& header);

  // A new image in files. kRefused where a file of its name holds something else.
  static Result<std::unique_ptr<ImageWriter>> create(ImageHeader header, std::string path);
  // A new image into a pipe; never split.
  static Result<std::unique_ptr<ImageWriter>> to_pipe(ImageHeader header, UniqueFd fd);
  // An image whose first segments are there: call add_* for them, then go_live().
  static Result<std::unique_ptr<ImageWriter>> replay(ImageHeader header, std::string path);
  Result<> go_live();

  Result<> add_data(const FinishedSegment& segment);
  // A whole number of segments, except at the end of the disk.
  Result<> add_zeros(std::uint64_t length_bytes);

  // Everything was added. `md5` and `sha256` are of the whole disk, in hexadecimal.
  Result<ImageSummary> finish(std::optional<std::string> md5, std::optional<std::string> sha256);

  std::uint64_t cursor_bytes() const { return cursor_bytes_; }                // of the disk
  std::uint64_t position_bytes() const { return output_->position_bytes(); }  // in the volume
  std::uint32_t volume() const { return header_.volume; }

 private:
  ImageWriter(ImageHeader header, std::string path);

  TarMember member(std::string_view name, std::uint64_t size_bytes) const;
  std::uint64_t tail_bytes(std::uint64_t data_segments, std::uint64_t entries) const;
  Result<> check_replaceable(const std::string& path, std::string_view front) const;
  Result<> begin_volume();
  Result<> end_volume(bool last);
  Result<> flush_zeros();
  Result<> write_sums();
  Result<> write_index();
  Result<> write_count_into_trailers();

  ImageHeader header_;
  const std::string path_;
  std::string restore_;
  bool live_ = true;
  std::optional<VolumeOutput> output_;
  EntrySpool entries_;
  ImageTrailer trailer_;
  SegmentMerkle image_merkle_;
  std::unique_ptr<SegmentMerkle> volume_merkle_;
  std::uint64_t cursor_bytes_ = 0;
  std::uint64_t zeros_from_bytes_ = 0;  // the disk is zero from here to the cursor
  std::uint64_t ordinal_ = 0;
  ImageSummary summary_;
};

}  // namespace drseed::seed
