#pragma once
// Which files a tar or zip holds, from its headers only.

#include <archive_entry.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "seed/foreign_magic.h"

namespace drseed::seed {

// The name as stored, which is hostile; "?" where there is none that can be shown.
std::string entry_name(archive_entry* entry);

// A hard link is a second name, not a second file.
bool is_regular_file(archive_entry* entry);

// The errors for an archive that does not hold exactly one regular file.
tl::unexpected<Error> no_file(const std::string& archive_name);
tl::unexpected<Error> several_files(const std::string& archive_name, const std::vector<std::string>& members);

// Looks through the headers of a tar or the directory of a zip that begins at `start_bytes` of a file that can be
// sought in; the descriptor is left where it was. kUsage if it has no or several regular files, naming them.
Result<> expect_one_regular_file(int fd, std::uint64_t start_bytes, ForeignMagic archive_kind, const std::string& name);

}  // namespace drseed::seed
