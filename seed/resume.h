#pragma once
// Continues an interrupted image: proves what is there and replays it into the writer.

#include <string>
#include <vector>

#include "block/device.h"
#include "seed/image_reader.h"
#include "seed/image_writer.h"
#include "seed/job.h"
#include "seed/ordered_digests.h"

namespace drseed::seed {

struct PartialImage {
  ImageHeader header;
};

// The header of the first volume, checked to be of this disk.
Result<PartialImage> open_partial_image(const std::string& image_path, const block::Device& source);

// Adds every segment that is there and proves itself, up to the first that does not, to a writer in replay. Then
// compares a sample of them with the source: kRefused if the source holds something else now.
Result<> replay_image(const std::string& image_path, const JobOptions& job, const block::Device& source,
                      ImageWriter& writer, OrderedDigests& digests, std::vector<Range>& unreadable);

// A whole image, compared with the source by a sample of its segments: kRefused if it is of another disk or another
// time.
Result<> compare_sample(ImageReader& image, const block::Device& source);

}  // namespace drseed::seed
