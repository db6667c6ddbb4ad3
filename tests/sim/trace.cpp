#include "tests/sim/trace.h"

#include <fmt/format.h>

#include <cstdio>

namespace drseed::sim {
namespace {

using namespace replicator;

template <typename... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <typename... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

std::string format_line(const Trace::Line& line) {
  const auto who = line.node == Trace::kNobody ? std::string("  ") : fmt::format("n{}", line.node);
  return fmt::format("{:9.3f} ms {} {}{}\n", static_cast<double>(line.at) / 1000, who,
                     fmt::format(fmt::runtime(line.what), line.a, line.b, line.c, line.d),
                     line.text.empty() ? "" : ": " + line.text);
}

constexpr const char* kRequests[] = {"request {0}: read {1}+{2}", "request {0}: write {1}+{2} fua={3}",
                                     "request {0}: zero {1}+{2} fua={3}", "request {0}: flush"};
constexpr const char* kDiskOps[] = {"disk op {0}: read {1}+{2}",
                                    "disk op {0}: read for peer {1}+{2}",
                                    "disk op {0}: write {1}+{2} payload {3}",
                                    "disk op {0}: zero {1}+{2}",
                                    "disk op {0}: flush",
                                    "disk op {0}: hash {1}+{2}"};
constexpr const char* kCommands[] = {"command {0}: promote fenced={2:#x} force={3}",
                                     "command {0}: demote",
                                     "command {0}: pause n{1}",
                                     "command {0}: resume n{1}",
                                     "command {0}: consent to a full resync of n{1}",
                                     "command {0}: consent to a checksum resync of n{1}",
                                     "command {0}: verify n{1} repair={3}",
                                     "command {0}: discard what this node wrote",
                                     "command {0}: open seed",
                                     "command {0}: drop seed",
                                     "command {0}: extend by n{1}"};
constexpr const char* kNotices[] = {
    "notice: in service",    "notice: out of service",   "notice: n{0} decision row {1}", "notice: n{0} in sync",
    "notice: n{0} lost",     "notice: n{0} split brain", "notice: new generation",        "notice: disk failed",
    "notice: n{0} mismatch", "notice: promote refused",  "notice: stands aside"};
constexpr const char* kSends[] = {"",
                                  "-> n{0} view",
                                  "-> n{0} promise ask {3}",
                                  "-> n{0} promise answer {3}",
                                  "-> n{0} pull",
                                  "-> n{0} begin {3}",
                                  "-> n{0} write #{1} {2}+{3}",
                                  "-> n{0} zero #{1} {2}+{3}",
                                  "-> n{0} flush #{1}",
                                  "-> n{0} resync {2}+{3}",
                                  "-> n{0} resync zero {2}+{3}",
                                  "-> n{0} check {2}+{3}",
                                  "-> n{0} resync end #{1}",
                                  "-> n{0} generation",
                                  "-> n{0} mark #{1} mask {3:#x}",
                                  "-> n{0} outdate",
                                  "-> n{0} seed open",
                                  "-> n{0} begin ready {3}",
                                  "-> n{0} map",
                                  "-> n{0} map end",
                                  "-> n{0} written #{1}",
                                  "-> n{0} durable #{1} ranges {3}",
                                  "-> n{0} in sync",
                                  "-> n{0} check result {3}",
                                  "-> n{0} outdated",
                                  "-> n{0} promise release {3}"};
constexpr const char* kGets[] = {"<- n{0} ?",
                                 "<- n{0} view",
                                 "<- n{0} promise ask {3}",
                                 "<- n{0} promise answer {3}",
                                 "<- n{0} pull",
                                 "<- n{0} begin {3}",
                                 "<- n{0} write #{1} {2}+{3}",
                                 "<- n{0} zero #{1} {2}+{3}",
                                 "<- n{0} flush #{1}",
                                 "<- n{0} resync {2}+{3}",
                                 "<- n{0} resync zero {2}+{3}",
                                 "<- n{0} check {2}+{3}",
                                 "<- n{0} resync end #{1}",
                                 "<- n{0} generation",
                                 "<- n{0} mark #{1} mask {3:#x}",
                                 "<- n{0} outdate",
                                 "<- n{0} seed open",
                                 "<- n{0} begin ready {3}",
                                 "<- n{0} map",
                                 "<- n{0} map end",
                                 "<- n{0} written #{1}",
                                 "<- n{0} durable #{1} ranges {3}",
                                 "<- n{0} in sync",
                                 "<- n{0} check result {3}",
                                 "<- n{0} outdated",
                                 "<- n{0} promise release {3}"};
static_assert(std::size(kSends) == static_cast<std::size_t>(FrameType::kPromiseRelease) + 1);
static_assert(std::size(kGets) == std::size(kSends));

std::uint64_t sector_count(std::uint64_t bytes) {
  return bytes / kSectorBytes;
}

// The last number of a frame's line.
std::uint64_t detail_of(const Frame& frame) {
  switch (frame.type) {
    case FrameType::kWrite:
    case FrameType::kZero:
    case FrameType::kResync:
    case FrameType::kResyncZero:
    case FrameType::kCheck:
      return sector_count(frame.range.length_bytes);
    case FrameType::kMark:
      return frame.mask;
    case FrameType::kPromiseAnswer:
    case FrameType::kBeginReady:
    case FrameType::kCheckResult:
      return frame.number * 2 + ((frame.flags & kFlagYes) != 0);
    default:
      return frame.number;
  }
}

}  // namespace

std::string_view name_of(FrameType type) {
  return std::string_view(kSends[static_cast<int>(type)]);
}

Trace::Line& Trace::next(std::uint8_t node, const char* what) {
  auto& line = ring_[lines_++ % kKept];
  line.at = now_;
  line.node = node;
  line.what = what;
  line.text.clear();
  return line;
}

void Trace::finish(const Line& line) {
  mix(line.at);
  mix(line.node);
  mix(line.a);
  mix(line.b);
  mix(line.c);
  mix(line.d);
  if (shown_) std::fputs(format_line(line).c_str(), stdout);
}

void Trace::note(std::uint8_t node, const char* what, std::uint64_t a, std::uint64_t b, std::uint64_t c,
                 std::uint64_t d) {
  auto& line = next(node, what);
  line.a = a, line.b = b, line.c = c, line.d = d;
  finish(line);
}

void Trace::note_text(std::uint8_t node, const char* what, const std::string& text, std::uint64_t a) {
  auto& line = next(node, what);
  line.a = a, line.b = line.c = line.d = 0;
  line.text = text;
  finish(line);
}

void Trace::frame(std::uint8_t node, const char* what, std::uint64_t peer, const Frame& frame) {
  mix(frame.depends_on);
  mix(frame.hash[0]);
  note(node, what, peer, frame.sequence, sector_count(frame.range.offset_bytes), detail_of(frame));
}

void Trace::event(std::uint8_t node, const Event& event) {
  mix(event.index());
  std::visit(
      Overloaded{
          [&](const ClientRequest& each) {
            note(node, kRequests[static_cast<int>(each.kind)], each.id, sector_count(each.range.offset_bytes),
                 sector_count(each.range.length_bytes), each.fua);
          },
          [&](const DiskDone& each) { note(node, "disk op {0} done ok={1}", each.op, each.ok, each.all_zero); },
          [&](const StoreDone& each) { note(node, "store op {0} done ok={1}", each.op, each.ok); },
          [&](const LinkUp& each) { note(node, "link to n{0} up, session {1}", each.peer, each.session); },
          [&](const LinkDown& each) { note(node, "link to n{0} down", each.peer); },
          [&](const FrameIn& each) { frame(node, kGets[static_cast<int>(each.frame.type)], each.peer, each.frame); },
          [&](const Tick& each) { mix(each.now_ms + node); },  // too many to show
          [&](const Command& each) {
            note(node, kCommands[static_cast<int>(each.kind)], each.id, each.peer, each.mask, each.force);
          },
      },
      event);
}

void Trace::action(std::uint8_t node, const Action& action) {
  mix(action.index());
  std::visit(
      Overloaded{
          [&](const DiskOp& each) {
            note(node, kDiskOps[static_cast<int>(each.kind)], each.op, sector_count(each.range.offset_bytes),
                 sector_count(each.range.length_bytes), each.payload);
          },
          [&](const CommitState& each) {
            const auto& record = *each.record;
            note(node, "commit state op {0}: low {1} flags {2:#x} promise {3}", each.op, record.low,
                 record.inconsistent | record.in_service << 1 | record.last_owner << 2 | record.data_corrupt << 3 |
                     record.outdated << 4 | record.unproven << 5,
                 record.promise.counter);
          },
          [&](const CommitLog& each) {
            for (const auto region : each.regions) mix(region);
            note(node, "commit log op {0}: {1} regions", each.op, each.regions.size());
          },
          [&](const SavePages& each) {
            note(node, "save pages op {0}: slot {1}, {2} pages", each.op, bitmap::index_of(each.slot),
                 each.pages.size());
          },
          [&](const Send& each) { frame(node, kSends[static_cast<int>(each.frame.type)], each.peer, each.frame); },
          [&](const Reply& each) {
            note(node, "reply to request {0}: status {1}", each.request, static_cast<std::uint64_t>(each.status));
          },
          [&](const Release& each) { note(node, "release payload {0}", each.payload); },
          [&](const CommandDone& each) {
            note_text(node, each.ok ? "command {0} done" : "command {0} refused", each.text, each.id);
          },
          [&](const Notice& each) {
            auto& line = next(node, kNotices[static_cast<int>(each.kind)]);
            line.a = each.peer, line.b = static_cast<std::uint64_t>(each.row), line.c = each.bytes, line.d = 0;
            line.text = each.text;
            finish(line);
          },
      },
      action);
}

std::string Trace::last_lines() const {
  std::string text;
  for (auto i = lines_ > kKept ? lines_ - kKept : 0; i < lines_; ++i) text += format_line(ring_[i % kKept]);
  return text;
}

}  // namespace drseed::sim
