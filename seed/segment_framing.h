#pragma once
// The bytes around a segment's payload in a volume, made from its record: to write them, and to compare on reading.
// Pure.

#include <string>

#include "seed/image_format.h"
#include "seed/tar_format.h"

namespace drseed::seed {

// The pax header, the padded record and the data member's header: what stands in front of the payload.
std::string segment_front(const SegmentRecord& record, Codec codec, std::uint64_t mtime_seconds);

}  // namespace drseed::seed
