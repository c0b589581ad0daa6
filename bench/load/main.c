/* load MODE name=value... : runs one mode and prints one line of JSON; says what went wrong and exits 1 otherwise. */
#include "load.h"

#include <string.h>

int main(int count, char **arguments)
{
    const char *mode = count > 1 ? arguments[1] : "";
    if (strcmp(mode, "bulk") == 0)
        run_bulk(count - 2, arguments + 2);
    else if (strcmp(mode, "small") == 0)
        run_small(count - 2, arguments + 2);
    else if (strcmp(mode, "stalled") == 0)
        run_stalled(count - 2, arguments + 2);
    else if (strcmp(mode, "download") == 0)
        run_download(count - 2, arguments + 2);
    else if (strcmp(mode, "heads") == 0)
        run_heads(count - 2, arguments + 2);
    else
        die("load bulk|small|stalled|download|heads port=P path=/files/ ...");
    return 0;
}
