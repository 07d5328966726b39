// Which levels this build has and this machine can run.
#include <vector>

#include "level.h"
#include "recurrent.h"

namespace kiyas {

extern const Level level_baseline;
extern const RecurrentLevel recurrent_baseline;
#if defined(__x86_64__) && !defined(_MSC_VER)
#define KIYAS_X86
extern const Level level_avx2, level_avx512, level_avx512vnni;
extern const RecurrentLevel recurrent_avx2, recurrent_avx512, recurrent_avx512vnni;
#endif

namespace {

std::vector<const Level*> find() {
  std::vector<const Level*> found{&level_baseline};
#ifdef KIYAS_X86
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return found;
  found.push_back(&level_avx2);
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512vl") || !__builtin_cpu_supports("avx512dq"))
    return found;
  found.push_back(&level_avx512);
  if (__builtin_cpu_supports("avx512vnni")) found.push_back(&level_avx512vnni);
#endif
  return found;
}

const std::vector<const Level*>& levels() {
  static const std::vector<const Level*> found = find();
  return found;
}

}  // namespace

int level_count() { return static_cast<int>(levels().size()); }
const Level& level_at(int index) { return *levels().at(index); }

const RecurrentLevel& recurrent_level_at(int index) {
  static const RecurrentLevel* const every[] = {
      &recurrent_baseline,
#ifdef KIYAS_X86
      &recurrent_avx2, &recurrent_avx512, &recurrent_avx512vnni,
#endif
  };
  return *every[index];
}

}  // namespace kiyas
