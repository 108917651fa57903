/*
 * Word count as a socket program, reduce side: the sum of one key's values. The message is {"key":{"key":K,"value":n},"value":[V,...]} as the hub writes it, without white
 * space; K is a string, and the answer repeats it as it came.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static char *read_message(const char *number)
{
    char path[108];
    snprintf(path, sizeof path, "/tmp/reduce-input-%s.sock", number);
    struct sockaddr_un address = address_of(path);
    int door = socket(AF_UNIX, SOCK_STREAM, 0);
    if (door < 0 || bind(door, (struct sockaddr *)&address, sizeof address) < 0 || listen(door, 1) < 0) return NULL;
    int hub = accept(door, NULL, NULL);
    if (hub < 0) return NULL;
    size_t room = 1 << 16, length = 0;
    char *text = malloc(room);
    ssize_t got;
    while (text != NULL && (got = read(hub, text + length, room - length - 1)) > 0) {
        length += got;
        if (room - length - 1 == 0) text = realloc(text, room *= 2);
    }
    close(hub);
    close(door);
    if (text != NULL) text[length] = 0;
    return text;
}

/* The end of the JSON string that begins at text. */
static char *after_string(char *text)
{
    for (text++; *text != 0 && *text != '"'; text++) if (*text == '\\' && text[1] != 0) text++;
    return text + 1;
}

int main(int argc, char **argv)
{
    if (argc < 2) return 2;
    char *message = read_message(argv[1]);
    static const char head[] = "{\"key\":{\"key\":";
    if (message == NULL || strncmp(message, head, sizeof head - 1) != 0 || message[sizeof head - 1] != '"') {
        fputs("no message with a string key\n", stderr);
        return 1;
    }
    char *key = message + sizeof head - 1;
    char *key_end = after_string(key);
    char *values = strchr(key_end, '[');
    long long sum = 0;
    if (values == NULL) return 1;
    for (char *at = values + 1; *at != 0 && *at != ']'; at += *at == ',') sum += strtoll(at, &at, 10);

    struct sockaddr_un address = address_of("/tmp/reduce.sock");
    int hub = socket(AF_UNIX, SOCK_STREAM, 0);
    if (hub < 0 || connect(hub, (struct sockaddr *)&address, sizeof address) < 0) { perror("/tmp/reduce.sock"); return 1; }
    FILE *answer = fdopen(hub, "w");
    fprintf(answer, "{\"key\":{\"key\":%.*s,\"value\":%s},\"value\":%lld}", (int)(key_end - key), key, argv[1], sum);
    return fclose(answer) == 0 ? 0 : 1;
}
