#include "tests/sim/check_reads.h"

#include <algorithm>

namespace drseed::sim {
namespace {

constexpr Tag kUnread = ~Tag{0};

bool may_read(const Oracle& oracle, const Request& request, std::uint64_t sector, Tag tag) {
  const auto& reign = oracle.reign(request.reign);
  const auto& list = reign.by_sector[sector];
  const auto overwritten = [&](const Write* write) {  // nullptr: the base
    return std::any_of(list.begin(), list.end(), [&](WriteId id) {
      const auto& later = oracle.write(id);
      return later.acked != 0 && later.acked < request.submitted && (write == nullptr || write->before(later));
    });
  };
  if (tag == reign.base[sector] && !overwritten(nullptr)) return true;
  return std::any_of(list.begin(), list.end(), [&](WriteId id) {
    const auto& write = oracle.write(id);
    return (write.zero ? tag == 0 : tag == tag_of(id, sector)) && !overwritten(&write);
  });
}

}  // namespace

void check_read(WorldView& world, const Request& request) {
  Tags tags(request.count, kUnread);
  for (const auto& piece : request.pieces) {
    for (std::size_t i = 0; i < piece.tags.size(); ++i) {
      const auto sector = piece.first + i;
      if (sector >= request.first && sector < request.first + request.count)
        tags[sector - request.first] = piece.tags[i];
    }
  }
  for (std::uint64_t i = 0; i < request.count; ++i) {
    if (tags[i] != kUnread && may_read(world.oracle, request, request.first + i, tags[i])) continue;
    return world.context.violate("reads", "n{}: request {} read {} at sector {}", request.node, request.id,
                                 tags[i] == kUnread
                                     ? std::string("nothing")
                                     : fmt::format("write {} of sector {}", write_of(tags[i]), sector_of(tags[i])),
                                 request.first + i);
  }
}

}  // namespace drseed::sim
