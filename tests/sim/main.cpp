// drseed-sim: histories of a mirror, one for each seed, until a checker objects.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <map>

#include "tests/sim/bugs.h"
#include "tests/sim/world.h"

namespace drseed::sim {
namespace {

const World* current = nullptr;  // for a failed assert of the core
std::uint64_t current_seed = 0;

struct Arguments {
  std::uint64_t first_seed = 1;
  std::uint64_t seeds = 1000;
  std::uint64_t nodes = 0;
  std::string bug;
  bool expect_violation = false;
  bool trace = false;
  bool twice = false;
  bool go_on = false;
  bool catch_bugs = false;
};

std::string command_to_repeat(const Arguments& arguments) {
  auto text = fmt::format("drseed-sim --first-seed {} --seeds 1", current_seed);
  if (!arguments.bug.empty()) text += " --bug " + arguments.bug;
  if (arguments.nodes > 0) text += fmt::format(" --nodes {}", arguments.nodes);
  return text;
}

Arguments given;

void print_last_lines() {
  if (current != nullptr && !given.trace) fmt::print("{}", current->trace().last_lines());
}

void on_abort(int) {
  print_last_lines();
  fmt::print("ASSERT failed with seed {}\nrun again: {} --trace\n", current_seed, command_to_repeat(given));
  std::fflush(stdout);
  std::_Exit(1);
}

void print_table(const Stats& stats) {
  for (std::size_t i = 0; i < kCounts; ++i) {
    fmt::print("{:>24} {:>12}{}", name_of(static_cast<Count>(i)), stats.counts[i], i % 3 == 2 ? "\n" : "");
  }
  fmt::print("\nhandshake table\n");
  for (int row = 0; row < replicator::kRows; ++row)
    fmt::print("{:>30} {:>12}\n", replicator::name_of(static_cast<replicator::Row>(row)),
               stats.rows[static_cast<std::size_t>(row)]);
}

// The table of README.md: each deliberate mistake, and who sees it when.
int catch_bugs(const Arguments& arguments) {
  bool all = true;
  for (const auto name : bug_names()) {
    if (!arguments.bug.empty() && arguments.bug != name) continue;
    const auto caught = catch_bug(*bug_named(name), arguments.first_seed, arguments.seeds);
    all &= caught.has_value();
    if (caught) {
      fmt::print("{:>26} {:>12} {:>6} seeds; {}\n", name, caught->violation.checker, caught->seeds_needed,
                 caught->violation.text);
    } else {
      fmt::print("{:>26} NOT CAUGHT in {} seeds\n", name, arguments.seeds);
    }
    std::fflush(stdout);
  }
  return all ? 0 : 1;
}

int run(const Arguments& arguments) {
  if (arguments.catch_bugs) return catch_bugs(arguments);
  const auto bug = bug_named(arguments.bug);
  if (!bug) {
    fmt::print(stderr, "no bug is named {}; there are:", arguments.bug);
    for (const auto name : bug_names()) fmt::print(stderr, " {}", name);
    fmt::print(stderr, "\n");
    return 2;
  }
  given = arguments;
  std::signal(SIGABRT, on_abort);
  Stats stats;
  std::uint64_t violations = 0;
  std::uint64_t done = 0;
  std::uint64_t events = 0;
  const auto begin = std::chrono::steady_clock::now();
  std::map<std::string, std::vector<std::uint64_t>> violating;  // seeds by checker
  for (std::uint64_t i = 0; i < arguments.seeds && (violations == 0 || arguments.go_on); ++i) {
    current_seed = arguments.first_seed + i;
    Options options{current_seed, std::nullopt, *bug, arguments.trace};
    if (arguments.nodes > 0) options.nodes = static_cast<unsigned>(arguments.nodes);
    World world(options, stats);
    current = &world;
    world.run();
    ++done;
    events += world.events();
    if (arguments.trace) fmt::print("hash {:016x}\n", world.trace().hash());
    if (arguments.twice && !world.violation()) {
      World again(options, stats);
      again.run();
      if (again.trace().hash() != world.trace().hash()) {
        fmt::print("VIOLATION by determinism, seed {}: {:016x} and {:016x}\n", current_seed, world.trace().hash(),
                   again.trace().hash());
        ++violations;
      }
    }
    if (world.violation()) {
      ++violations;
      violating[world.violation()->checker].push_back(current_seed);
      if (!arguments.go_on) print_last_lines();
      fmt::print("VIOLATION by {}, seed {}: {}\nrun again: {} --trace\n", world.violation()->checker, current_seed,
                 world.violation()->text, command_to_repeat(arguments));
    }
    current = nullptr;
  }
  const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  print_table(stats);
  for (const auto& [checker, seeds] : violating)
    fmt::print("{}: {} seeds: {}\n", checker, seeds.size(), fmt::join(seeds, " "));
  fmt::print("{} seeds, {} violations, {:.1f} s, {:.0f} histories/s, {:.0f} events a history\n", done, violations,
             seconds, static_cast<double>(done) / seconds, static_cast<double>(events) / static_cast<double>(done));
  return (violations > 0) == arguments.expect_violation ? 0 : 1;
}

}  // namespace
}  // namespace drseed::sim

int main(int argc, char** argv) {
  drseed::sim::Arguments arguments;
  CLI::App app("Deterministic histories of a mirror, judged by checkers");
  app.add_option("--first-seed", arguments.first_seed, "the first history's seed")->capture_default_str();
  app.add_option("--seeds", arguments.seeds, "how many histories")->capture_default_str();
  app.add_option("--nodes", arguments.nodes, "members of each mirror (2 to 8); drawn from the seed if not given");
  app.add_option("--bug", arguments.bug, "a deliberate mistake of the core");
  app.add_flag("--expect-violation", arguments.expect_violation, "exit 0 if a checker objects, 1 if none does");
  app.add_flag("--trace", arguments.trace, "print every event");
  app.add_flag("--twice", arguments.twice, "run each history twice and compare their hashes");
  app.add_flag("--go-on", arguments.go_on, "do not stop at the first violation");
  app.add_flag("--catch-bugs", arguments.catch_bugs, "who catches which deliberate mistake, within how many seeds");
  CLI11_PARSE(app, argc, argv);
  return drseed::sim::run(arguments);
}
