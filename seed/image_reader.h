#pragma once
// Reads a seed image of one or several volumes, from files or from a pipe, as one gapless ascending list of segments.
//
// Volumes are found by their headers, whatever they are called and wherever they stand in the given folders. What is
// missing or damaged comes as damaged ranges and in problems(). next() is called by one thread; everything else before
// the first next() or after the last.

#include <memory>
#include <string>
#include <vector>

#include "seed/indexed_volume.h"
#include "seed/merkle.h"
#include "seed/scanned_volume.h"

namespace drseed::seed {

struct ImageReadOptions {
  bool with_payload = true;               // false: digests only, where the index is whole
  bool partial = false;                   // go on where a trailer, an index or a volume is missing or damaged
  std::vector<std::string> more_volumes;  // files, or folders to look in
};

// True if the file begins like a drseed image, damaged or not: such a file must never be taken for a raw disk.
bool looks_like_image(std::span<const std::uint8_t> first_bytes);
Result<bool> is_image_file(const std::string& path);
constexpr std::size_t kLookBytes = 64 << 10;

class ImageReader {
 public:
  // `path` is an image, any of its volumes, or the name that the volumes' names begin with.
  static Result<std::unique_ptr<ImageReader>> open(const std::string& path, const ImageReadOptions& options);
  // One volume, or several one after the other.
  static Result<std::unique_ptr<ImageReader>> open_stream(std::unique_ptr<FdSource> source);

  const ImageHeader& header() const { return header_; }
  std::uint64_t disk_bytes() const { return header_.disk_bytes; }
  // Of the last volume: whole-disk digests and the image's Merkle root. Where it is indexed at once, else when it was
  // read.
  const std::optional<ImageTrailer>& last_trailer() const { return last_trailer_; }
  const std::vector<std::uint32_t>& missing_volumes() const { return missing_volumes_; }
  std::vector<std::string> paths() const;  // of the volumes that are files
  std::uint32_t volumes_found() const { return static_cast<std::uint32_t>(parts_.size()); }

  // How many segments may be out at a time. Call before the first next().
  void set_buffers(std::size_t count);
  // Makes a next() that waits for a buffer return with kInterrupted.
  void stop();

  Result<std::optional<StoredSegment>> next();

  // After the end: compares every byte outside the segments. Only indexed volumes; a scan has done so already.
  Result<> check_metadata();
  const std::vector<std::string>& problems() const { return problems_; }
  // The root over all segments as the image claims them, once all were read without a damaged range.
  const std::optional<Digest256>& merkle_root() const { return merkle_root_; }

 private:
  struct Part {
    std::string path;
    std::unique_ptr<IndexedVolume> indexed;
    std::unique_ptr<FdSource> source;  // not for a pipe: that is stream_
    std::unique_ptr<ScannedVolume> scanned;
    std::string why_scanned;  // what is wrong with its trailer or index

    VolumeReader& reader() const;
    std::uint32_t number() const { return reader().header().volume; }
    std::uint64_t range_offset() const { return reader().header().range_offset_bytes; }
  };

  ImageReader() = default;
  Result<Part> open_part(const std::string& path, bool with_payload);
  Result<> find_volumes(const std::string& path, const ImageReadOptions& options);
  Result<> order_parts();
  Result<std::optional<StoredSegment>> next_of_part();
  Result<> end_part();
  void account(const StoredSegment& segment);
  StoredSegment missing_until(std::uint64_t end_bytes, std::string why) const;
  void use_pool(Part& part);

  ImageHeader header_;
  std::unique_ptr<block::BufferPool> pool_;  // outlives the parts, which may hold a buffer of a segment read ahead
  std::unique_ptr<FdSource> stream_;
  std::vector<Part> parts_;
  std::optional<ImageTrailer> last_trailer_;
  std::vector<std::uint32_t> missing_volumes_;
  std::vector<std::string> problems_;
  std::size_t part_ = 0;
  std::uint64_t cursor_bytes_ = 0;
  bool whole_ = true;  // no damaged range so far
  std::unique_ptr<SegmentMerkle> volume_merkle_, image_merkle_;
  std::optional<Digest256> merkle_root_;
};

}  // namespace drseed::seed
