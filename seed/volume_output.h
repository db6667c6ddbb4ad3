#pragma once
// One volume being written: a file, a pipe, or nothing yet.
//
// In a replay (--resume) the same members are "written" again without output, only to count positions, until go_live()
// continues the real file where they end. One thread.

#include <initializer_list>
#include <span>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "seed/tar_format.h"

namespace drseed::seed {

class VolumeOutput {
 public:
  static VolumeOutput replay(std::string path);
  static Result<VolumeOutput> create(std::string path);  // overwrites
  static VolumeOutput to_descriptor(UniqueFd fd, std::string name);

  Result<> write(std::initializer_list<std::span<const std::uint8_t>> parts);
  Result<> write_member(const TarMember& member, std::string_view content);
  Result<> write_header(const TarMember& member);
  Result<> write_padding(std::uint64_t content_bytes);
  Result<> write_end();

  // From a replay to writing: cuts the file at the position reached, or creates it at position 0.
  Result<> go_live();
  // All that was written is durable, its name too; a pipe is only closed.
  Result<> finish();

  std::uint64_t position_bytes() const { return position_bytes_; }
  const std::string& path() const { return path_; }
  bool live() const { return fd_.valid(); }

 private:
  explicit VolumeOutput(std::string path) : path_(std::move(path)) {}
  void start_writeback();

  std::string path_;
  UniqueFd fd_;
  bool regular_file_ = false;
  std::uint64_t position_bytes_ = 0;
  std::uint64_t written_back_bytes_ = 0;
};

}  // namespace drseed::seed
