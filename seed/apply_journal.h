#pragma once
// Remembers in the state directory how far an apply has come, so that --resume continues it: what is durable on the
// target, and what the image could not give. One file a target, sealed by a digest, replaced atomically; removed when
// the apply is complete and nothing is missing.

#include <optional>
#include <string>
#include <vector>

#include "block/device.h"
#include "seed/job.h"
#include "seed/range_set.h"

namespace drseed::seed {

struct ApplyJournal {
  std::string image;              // which image: its id, or what a foreign image is known by
  std::string target;             // which target: absolute path, size or inode, serial number
  RangeSet done;                  // durable on the target
  std::vector<BadRange> damaged;  // of this run; not kept: the next run finds it anew
};

// The journal's path for a target.
std::string journal_path(const std::string& state_directory, const std::string& target_path);
// Where the machine-readable report of damaged ranges goes by default.
std::string damage_report_path(const std::string& state_directory, const std::string& target_path);

std::string describe_target(const block::Device& device);

Result<> save_journal(const std::string& path, const ApplyJournal& journal);
// Nothing if there is none; kDiffers if it cannot be understood.
Result<std::optional<ApplyJournal>> load_journal(const std::string& path);
Result<> remove_journal(const std::string& path);

}  // namespace drseed::seed
