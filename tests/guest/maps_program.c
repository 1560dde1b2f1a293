/* maps_program NAME: 0 when a file with NAME in its path is mapped into this process, 3 if not. */
#include <stdio.h>
#include <string.h>

int main(int count, char** arguments) {
  FILE* const maps = fopen("/proc/self/maps", "re");
  if (count != 2 || maps == NULL) return 2;
  char line[4096];
  int mapped = 0;
  while (fgets(line, sizeof(line), maps) != NULL) mapped |= strstr(line, arguments[1]) != NULL;
  fclose(maps);
  return mapped ? 0 : 3;
}
