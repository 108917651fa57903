/* Word count as a socket program, map side: one message of pairs for the line in argv[2]. Bytes that are not UTF-8 become U+FFFD. */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static FILE *connect_to(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int hub = socket(AF_UNIX, SOCK_STREAM, 0);
    if (hub < 0 || connect(hub, (struct sockaddr *)&address, sizeof address) < 0) return NULL;
    return fdopen(hub, "w");
}

/* The length of the UTF-8 sequence at text, 0 when there is none. */
static int sequence(const unsigned char *text)
{
    unsigned c = text[0];
    if (c < 0x80) return 1;
    int length = c >= 0xc2 && c <= 0xdf ? 2 : c >= 0xe0 && c <= 0xef ? 3 : c >= 0xf0 && c <= 0xf4 ? 4 : 0;
    for (int i = 1; i < length; i++) if ((text[i] & 0xc0) != 0x80) return 0;
    if ((c == 0xe0 && text[1] < 0xa0) || (c == 0xed && text[1] > 0x9f) || (c == 0xf0 && text[1] < 0x90) || (c == 0xf4 && text[1] > 0x8f)) return 0;
    return length;
}

static void write_word(FILE *to, const unsigned char *word, size_t length)
{
    for (const unsigned char *end = word + length; word < end;) {
        int bytes = sequence(word);
        if (bytes == 0) { fputs("\xef\xbf\xbd", to); word++; continue; }
        if (*word == '"' || *word == '\\') fputc('\\', to);
        if (*word < 0x20) fprintf(to, "\\u%04x", *word);
        else fwrite(word, 1, bytes, to);
        word += bytes;
    }
}

int main(int argc, char **argv)
{
    if (argc < 3) return 2;
    FILE *hub = connect_to("/tmp/map.sock");
    if (hub == NULL) { perror("/tmp/map.sock"); return 1; }
    const char *separator = "";
    fputs("{\"pairs\":[", hub);
    for (char *at = argv[2]; *(at += strspn(at, " \t\n\v\f\r")) != 0;) {
        size_t length = strcspn(at, " \t\n\v\f\r");
        fprintf(hub, "%s{\"key\":\"", separator);
        write_word(hub, (unsigned char *)at, length);
        fputs("\",\"value\":1}", hub);
        separator = ",";
        at += length;
    }
    fputs("]}", hub);
    return fclose(hub) == 0 ? 0 : 1;
}
