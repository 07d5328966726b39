// Work split over threads: each takes the next piece until none is left.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace kiyas {

// Calls work(thread, begin, end) for consecutive pieces of [0, count). The caller's thread is thread 0.
// The first exception of any thread is thrown again here, after all have ended.
template <class Work>
void parallel(int64_t count, int64_t piece, int threads, const Work& work) {
  const int64_t pieces = (count + piece - 1) / piece;
  const int used = static_cast<int>(std::max<int64_t>(1, std::min<int64_t>(threads, pieces)));
  std::atomic<int64_t> next{0};
  std::exception_ptr failure;
  std::mutex guard;
  const auto run = [&](int thread) {
    try {
      for (int64_t i; (i = next.fetch_add(1)) < pieces;) work(thread, i * piece, std::min(count, (i + 1) * piece));
    } catch (...) {
      const std::lock_guard<std::mutex> lock(guard);
      if (!failure) failure = std::current_exception();
      next.store(pieces);
    }
  };
  std::vector<std::thread> others;
  others.reserve(used - 1);
  try {
    for (int t = 1; t < used; ++t) others.emplace_back(run, t);
  } catch (...) {
    // The system has no more threads to give: those that started do the work.
  }
  run(0);
  for (auto& t : others) t.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace kiyas
