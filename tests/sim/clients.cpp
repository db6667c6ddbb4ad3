#include "tests/sim/clients.h"

namespace drseed::sim {

using namespace replicator;

void Clients::begin(NodeIndex node) {
  schedule(node);
}

void Clients::schedule(NodeIndex node) {
  auto& context = world_.context;
  context.scheduler.after(context.random.between(1, context.parameters.think_time),
                          {0, 0, Kind::kClient, node, 0, world_.reign_of[node], 0});
}

void Clients::node_lost(NodeIndex node) {
  outstanding_[node] = 0;
  std::erase_if(requests_, [&](const auto& each) { return each.second.node == node; });
}

void Clients::handle(const Scheduled& scheduled) {
  const auto node = scheduled.node;
  if (stopped_ || scheduled.epoch != world_.reign_of[node]) return;
  auto& random = world_.context.random;
  auto count = random.percent(20) ? random.between(1, 8) : 1;
  while (count-- > 0 && outstanding_[node] < world_.context.parameters.queue_depth) submit_random(node);
  schedule(node);
}

void Clients::submit_random(NodeIndex node) {
  auto& random = world_.context.random;
  const auto& parameters = world_.context.parameters;
  Request request;
  request.node = node;
  if (random.percent(parameters.flush_percent)) {
    request.kind = RequestKind::kFlush;
    return submit(std::move(request));
  }
  const auto area = random.percent(80) ? parameters.hot_sectors : parameters.sectors();
  request.count =
      random.percent(50) ? parameters.sectors_per_block() : random.between(1, parameters.request_sectors_max());
  if (random.percent(20)) request.count = 1;
  request.count = std::min(request.count, area);
  request.first = random.below(area - request.count + 1);
  if (random.percent(60)) request.first -= request.first % parameters.sectors_per_block();
  request.fua = random.percent(parameters.fua_percent);
  request.kind = random.percent(parameters.read_percent)   ? RequestKind::kRead
                 : random.percent(parameters.zero_percent) ? RequestKind::kZero
                                                           : RequestKind::kWrite;
  if (request.kind == RequestKind::kRead) request.fua = false;
  submit(std::move(request));
}

void Clients::flush(NodeIndex node) {
  Request request;
  request.node = node;
  request.kind = RequestKind::kFlush;
  submit(std::move(request));
}

void Clients::submit(Request request) {
  auto& context = world_.context;
  constexpr Count kKinds[] = {Count::kReads, Count::kWrites, Count::kZeroes, Count::kFlushes};
  context.stats.add(kKinds[static_cast<int>(request.kind)]);
  if (request.fua) context.stats.add(Count::kFuaWrites);
  request.id = ++last_id_;
  request.reign = world_.reign_of[request.node];
  request.submitted = context.tick_serial();
  const bool zero = request.kind == RequestKind::kZero;
  ClientRequest event{
      request.id, request.kind, request.fua, {request.first * kSectorBytes, request.count * kSectorBytes}, kNoPayload};
  if (zero || request.kind == RequestKind::kWrite)
    request.write = world_.oracle.submit(request.reign, request.first, request.count, zero, request.submitted);
  auto& node = world_.node(request.node);
  if (request.kind == RequestKind::kWrite) {
    auto tags = std::make_shared<Tags>(request.count);
    for (std::uint64_t i = 0; i < request.count; ++i) (*tags)[i] = tag_of(request.write, request.first + i);
    event.payload = node.payloads().add(std::move(tags));
  }
  if (request.write != 0) watcher_.submitted(request);
  ++outstanding_[request.node];
  requests_.emplace(request.id, std::move(request));
  node.post(event);
}

void Clients::has_read(std::uint64_t request, std::uint64_t first, const Tags& tags) {
  const auto found = requests_.find(request);
  if (found != requests_.end()) found->second.pieces.push_back({first, tags});
}

std::optional<Request> Clients::replied(NodeIndex node, const Reply& reply) {
  const auto found = requests_.find(reply.request);
  if (found == requests_.end() || found->second.node != node) {
    world_.context.violate("replies", "n{}: a reply to request {}, which is not waiting for one", node, reply.request);
    return std::nullopt;
  }
  auto request = std::move(found->second);
  requests_.erase(found);
  --outstanding_[node];
  world_.context.stats.add(reply.status == Status::kOk ? Count::kReplies : Count::kRequestErrors);
  if (request.write != 0 && reply.status == Status::kOk)
    world_.oracle.write(request.write).acked = world_.context.tick_serial();
  return request;
}

}  // namespace drseed::sim
