// load: closed-loop HTTP/1.1 load generator for LLM gateways (epoll, one thread).
//   load --port P [--host 127.0.0.1] --path /v1/chat/completions --body FILE [-H 'Name: v']...
//          --conc C  (--duration SEC | --requests N) [--maxwait SEC] [--ramp CONNS_PER_SEC]
//          [--status 200] [--expect STR]...   substrings that every (non-stream) answer / stream tail must hold
//          [--tokens N]   stream: exactly N deltas " tkIIII.TTTTTTTTTT" in order, else 'incomplete'
//          [--repeats]    after those the stream's end may repeat them
// Prints one JSON object: counts, errors by kind, wall time, latency / TTFT / gap / transit percentiles (us).
// Bounded: no new request after the duration or count; after --maxwait more, whatever is open counts as timeout.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_us(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (uint64_t)t.tv_sec * 1000000u + t.tv_nsec / 1000; }
// histogram: 64 sub-buckets per power of two
#define HB (64 * 40)
typedef struct { uint64_t b[HB], n, max; double sum; } hist;
static int hidx(uint64_t v) { if (v < 64) return v; int e = 63 - __builtin_clzll(v); return (e - 5) * 64 + (int)((v >> (e - 6)) - 64); }
static uint64_t hval(int i) { if (i < 64) return i; int e = i / 64 + 5; return ((uint64_t)(i % 64 + 64) << (e - 6)) + ((1ull << (e - 6)) >> 1); }
static void hadd(hist *h, uint64_t v) { int i = hidx(v); if (i >= HB) i = HB - 1; h->b[i]++; h->n++; h->sum += v; if (v > h->max) h->max = v; }
static uint64_t hpct(hist *h, double p) { if (!h->n) return 0; uint64_t k = (uint64_t)(h->n * p / 100.0), s = 0; if (k >= h->n) k = h->n - 1; for (int i = 0; i < HB; i++) { s += h->b[i]; if (s > k) return hval(i) < h->max ? hval(i) : h->max; } return h->max; }
static void hprint(const char *n, hist *h) { printf("\"%s\":{\"n\":%llu,\"mean\":%.1f,\"p50\":%llu,\"p90\":%llu,\"p99\":%llu,\"max\":%llu},", n, (unsigned long long)h->n, h->n ? h->sum / h->n : 0, (unsigned long long)hpct(h, 50), (unsigned long long)hpct(h, 90), (unsigned long long)hpct(h, 99), (unsigned long long)h->max); }

enum { IDLE, CONNECTING, SENDING, HEAD, BODY };
enum { E_STATUS, E_CONN, E_INCOMPLETE, E_EXPECT, E_TIMEOUT, E_N };
static const char *ename[] = {"status", "conn", "incomplete", "expect", "timeout"};
typedef struct {
  int fd, st; size_t off; uint64_t t0, tlast; int first, fresh;
  char head[8192]; size_t hl; int status, chunked, close_; long long left;   // left: content-length rest, -1 until close
  int cs; size_t csz; // chunk parser: 0 size line, 1 data, 2 crlf after data, 3 trailer
  int ts, tnum, tdig; uint64_t ttim; int seen, bad;                           // token scanner
  char tail[2048]; size_t tl;
} conn;
static hist h_lat, h_ttft, h_gap, h_transit;
static uint64_t ok, err[E_N], tokens, bytes, reads, hchunks, started, conns_opened; static int bad_status, maxopen, open_; static char bad_sample[600];
static int ep, conc = 1, want_status = 200, want_tokens = -1, port = 0; static int repeats = 0; static double duration = 0, maxwait = 20; static long nreq = 0; static double ramp = 2000;
static const char *host = "127.0.0.1", *path = "/", *expect[16]; static int nexpect; static char *req; static size_t reqn; static struct sockaddr_in sa; static uint64_t tstart, tend;

static void arm(conn *c, int out, int add) { struct epoll_event e = {.events = EPOLLIN | (out ? EPOLLOUT : 0), .data.ptr = c}; epoll_ctl(ep, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, c->fd, &e); }
static int may_start(void) { if (nreq && (long)started >= nreq) return 0; if (duration && now_us() >= tend) return 0; return 1; }
static void begin(conn *c);
static void drop(conn *c) { if (c->fd >= 0) { close(c->fd); c->fd = -1; } }
static void idle(conn *c) { if (c->st != IDLE) { c->st = IDLE; open_--; } }
static void fail(conn *c, int e) { err[e]++; drop(c); idle(c); if (err[E_CONN] + err[E_STATUS] > 20000) return; begin(c); }
static void do_send(conn *c) {
  while (c->off < reqn) { ssize_t w = send(c->fd, req + c->off, reqn - c->off, MSG_NOSIGNAL); if (w < 0) { if (errno == EAGAIN) { arm(c, 1, 0); return; } if (!c->fresh) { drop(c); c->st = IDLE; open_--; started--; begin(c); return; } fail(c, E_CONN); return; } c->off += w; }
  c->st = HEAD; arm(c, 0, 0);
}
static void begin(conn *c) {
  if (!may_start()) { drop(c); return; }
  started++; open_++; if (open_ > maxopen) maxopen = open_;
  c->off = c->hl = c->tl = 0; c->first = 0; c->status = 0; c->ts = 0; c->seen = 0; c->bad = 0; c->cs = 0; c->csz = 0; c->t0 = now_us(); c->tlast = 0;
  if (c->fd < 0) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); int one = 1; setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); conns_opened++; c->fresh = 1;
    if (connect(c->fd, (void *)&sa, sizeof sa) && errno != EINPROGRESS) { c->st = CONNECTING; fail(c, E_CONN); return; }
    c->st = CONNECTING; arm(c, 1, 1); return;
  }
  c->fresh = 0; c->st = SENDING; do_send(c);
}
static void scan(conn *c, const char *p, size_t n, uint64_t t) {   // payload bytes
  bytes += n; int got = 0;
  if (want_tokens >= 0) for (size_t i = 0; i < n; i++) { char ch = p[i];
    switch (c->ts) {
    case 0: { const char *q = memchr(p + i, 't', n - i); if (!q) { i = n; break; } i = q - p; c->ts = 1; break; }
    case 1: c->ts = ch == 'k' ? 2 : ch == 't' ? 1 : 0; c->tnum = c->tdig = 0; break;
    case 2: if (ch >= '0' && ch <= '9' && c->tdig < 4) { c->tnum = c->tnum * 10 + ch - '0'; c->tdig++; } else if (ch == '.' && c->tdig == 4) { c->ts = 3; c->tdig = 0; c->ttim = 0; } else c->ts = ch == 't'; break;
    case 3: c->ttim = c->ttim * 10 + (ch - '0'); if (ch < '0' || ch > '9') { c->ts = 0; break; } if (++c->tdig == 10) { c->ts = 0; if (repeats && c->seen == want_tokens) break; c->seen++; got++; tokens++; if (c->tnum != c->seen % 10000) c->bad = 1; uint64_t d = (t % 10000000000ull + 10000000000ull - c->ttim) % 10000000000ull; hadd(&h_transit, d); if (!c->first) { c->first = 1; hadd(&h_ttft, t - c->t0); } } break;
    } }
  if (got) { if (c->tlast) hadd(&h_gap, t - c->tlast); c->tlast = t; }
  if (n >= sizeof c->tail) { memcpy(c->tail, p + n - sizeof c->tail, sizeof c->tail); c->tl = sizeof c->tail; }
  else { if (c->tl + n > sizeof c->tail) { size_t k = c->tl + n - sizeof c->tail; memmove(c->tail, c->tail + k, c->tl - k); c->tl -= k; } memcpy(c->tail + c->tl, p, n); c->tl += n; }
}
static void finish(conn *c) {
  int e = -1;
  if (c->status != want_status) { e = E_STATUS; bad_status = c->status; }
  else if (want_tokens >= 0 && (c->seen != want_tokens || c->bad)) e = E_INCOMPLETE;
  else for (int i = 0; i < nexpect; i++) if (!memmem(c->tail, c->tl, expect[i], strlen(expect[i]))) e = E_EXPECT;
  if (e >= 0) { err[e]++; if (!*bad_sample) { size_t k = c->tl < 280 ? c->tl : 280; size_t o = 0; for (size_t i = 0; i < k; i++) { unsigned char ch = c->tail[c->tl - k + i]; if (ch == '"' || ch == '\\') bad_sample[o++] = '\''; else bad_sample[o++] = ch < 32 || ch > 126 ? ' ' : ch; } } }
  else { ok++; hadd(&h_lat, now_us() - c->t0); }
  idle(c); if (c->close_) drop(c); begin(c);
}
static void payload(conn *c, const char *p, size_t n, uint64_t t) {
  if (!c->chunked) { if (c->left >= 0 && (long long)n > c->left) n = c->left; scan(c, p, n, t); if (c->left >= 0 && (c->left -= n) == 0) finish(c); return; }
  while (n) switch (c->cs) {
    case 0: { char ch = *p++; n--; if (ch == '\n') { c->cs = c->csz ? 1 : 3; c->hl = 0; if (c->csz) hchunks++; } else if (ch == ';') c->cs = 4; else { int d = ch >= '0' && ch <= '9' ? ch - '0' : (ch | 32) >= 'a' && (ch | 32) <= 'f' ? (ch | 32) - 'a' + 10 : -1; if (d >= 0) c->csz = c->csz * 16 + d; } break; }
    case 4: { char ch = *p++; n--; if (ch == '\n') { c->cs = c->csz ? 1 : 3; c->hl = 0; } break; }
    case 1: { size_t k = n < c->csz ? n : c->csz; scan(c, p, k, t); p += k; n -= k; if (!(c->csz -= k)) c->cs = 2; break; }
    case 2: { char ch = *p++; n--; if (ch == '\n') c->cs = 0; break; }
    case 3: { char ch = *p++; n--; if (ch == '\n') { if (c->hl == 0) { finish(c); return; } c->hl = 0; } else if (ch != '\r') c->hl++; break; }
  }
}
static void on_read(conn *c) {
  static char b[262144];
  ssize_t r = recv(c->fd, b, sizeof b, 0); uint64_t t = now_us(); reads++;
  if (r < 0) { if (errno == EAGAIN) return; r = 0; }
  if (r == 0) {
    if (c->st == BODY && !c->chunked && c->left < 0) { c->close_ = 1; finish(c); return; }
    if (c->st == HEAD && c->hl == 0 && !c->fresh) { drop(c); idle(c); started--; begin(c); return; }  // stale keep-alive
    if (c->st == IDLE) { drop(c); return; }
    fail(c, c->st == BODY ? E_INCOMPLETE : E_CONN); return;
  }
  if (c->st == HEAD) {
    size_t k = (size_t)r < sizeof c->head - 1 - c->hl ? (size_t)r : sizeof c->head - 1 - c->hl; size_t old = c->hl; memcpy(c->head + c->hl, b, k); c->hl += k; c->head[c->hl] = 0;
    char *e = strstr(c->head, "\r\n\r\n"); if (!e) { if (c->hl >= sizeof c->head - 1) fail(c, E_CONN); return; }
    size_t hn = e + 4 - c->head; c->status = atoi(c->head + 9); c->chunked = 0; c->close_ = 0; c->left = -1;
    for (char *p = strstr(c->head, "\r\n"); p && p < e; p = strstr(p + 2, "\r\n")) { char *q = p + 2; if (!strncasecmp(q, "content-length:", 15)) c->left = atoll(q + 15); else if (!strncasecmp(q, "transfer-encoding: chunked", 26)) c->chunked = 1; else if (!strncasecmp(q, "connection: close", 17)) c->close_ = 1; }
    c->st = BODY; c->hl = 0;
    if (!c->chunked && c->left == 0) { finish(c); return; }
    size_t used = hn - old; if ((size_t)r > used) payload(c, b + used, r - used, t);
    return;
  }
  if (c->st == BODY) payload(c, b, r, t);
}
int main(int ac, char **av) {
  char hdrs[8192] = ""; const char *bodyf = NULL; signal(SIGPIPE, SIG_IGN); const char *method = "POST";
  for (int i = 1; i < ac; i++) {
#define A(s) (!strcmp(av[i], s) && i + 1 < ac)
    if (A("--port")) port = atoi(av[++i]); else if (A("--host")) host = av[++i]; else if (A("--path")) path = av[++i]; else if (A("--body")) bodyf = av[++i]; else if (A("--method")) method = av[++i];
    else if (A("-H")) { strcat(hdrs, av[++i]); strcat(hdrs, "\r\n"); } else if (A("--conc")) conc = atoi(av[++i]); else if (A("--duration")) duration = atof(av[++i]); else if (A("--requests")) nreq = atol(av[++i]);
    else if (A("--maxwait")) maxwait = atof(av[++i]); else if (A("--ramp")) ramp = atof(av[++i]); else if (A("--status")) want_status = atoi(av[++i]); else if (A("--expect")) expect[nexpect++] = av[++i]; else if (A("--tokens")) want_tokens = atoi(av[++i]); else if (!strcmp(av[i], "--repeats")) repeats = 1;
    else { fprintf(stderr, "bad argument %s\n", av[i]); return 2; }
  }
  if (!duration && !nreq) nreq = 1;
  char *body = NULL; size_t bn = 0; if (bodyf) { FILE *f = fopen(bodyf, "rb"); if (!f) { perror(bodyf); return 2; } fseek(f, 0, SEEK_END); bn = ftell(f); rewind(f); body = malloc(bn + 1); if (fread(body, 1, bn, f) != bn) return 2; fclose(f); }
  req = malloc(bn + sizeof hdrs + 1024); reqn = sprintf(req, "%s %s HTTP/1.1\r\nHost: %s:%d\r\nUser-Agent: gwload/1\r\nAccept: */*\r\n%s%s", method, path, host, port, hdrs, body ? "Content-Type: application/json\r\n" : ""); if (body) reqn += sprintf(req + reqn, "Content-Length: %zu\r\n", bn); reqn += sprintf(req + reqn, "\r\n"); if (body) { memcpy(req + reqn, body, bn); reqn += bn; }
  sa.sin_family = AF_INET; sa.sin_port = htons(port); inet_pton(AF_INET, host, &sa.sin_addr);
  if ((ntohl(sa.sin_addr.s_addr) >> 24) != 127) { fprintf(stderr, "loopback only\n"); return 2; }
  ep = epoll_create1(EPOLL_CLOEXEC); conn *cs = calloc(conc, sizeof *cs); for (int i = 0; i < conc; i++) cs[i].fd = -1;
  tstart = now_us(); tend = tstart + (uint64_t)(duration * 1e6); uint64_t hard = 0; int opened = 0; static struct epoll_event ev[1024];
  for (;;) {
    uint64_t n = now_us(); int due = (int)((n - tstart) * ramp / 1e6) + 1; while (opened < conc && opened < due) { if (may_start()) begin(&cs[opened]); opened++; }
    int more = may_start(); if (!more && open_ == 0 && (opened == conc || !may_start())) break;
    if (!more && !hard) hard = n + (uint64_t)(maxwait * 1e6);
    if (hard && n > hard) break;
    if (!hard && nreq && n > tstart + 300000000ull) break;
    int k = epoll_wait(ep, ev, 1024, opened < conc ? 1 : 50);
    for (int i = 0; i < k; i++) { conn *c = ev[i].data.ptr; if (c->fd < 0) continue;
      if (c->st == CONNECTING && (ev[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP))) { int e = 0; socklen_t l = sizeof e; getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l); if (e) { fail(c, E_CONN); continue; } c->st = SENDING; do_send(c); continue; }
      if (c->st == SENDING && (ev[i].events & EPOLLOUT)) { do_send(c); continue; }
      if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_read(c); }
  }
  err[E_TIMEOUT] += open_; double wall = (now_us() - tstart) / 1e6; struct rusage ru; getrusage(RUSAGE_SELF, &ru);
  uint64_t te = 0; for (int i = 0; i < E_N; i++) te += err[i];
  printf("{\"ok\":%llu,\"errors\":%llu,\"err\":{", (unsigned long long)ok, (unsigned long long)te); for (int i = 0; i < E_N; i++) printf("%s\"%s\":%llu", i ? "," : "", ename[i], (unsigned long long)err[i]);
  printf("},\"bad_status\":%d,\"bad_sample\":\"%s\",\"wall_s\":%.4f,\"rps\":%.2f,\"tokens\":%llu,\"tokens_s\":%.1f,\"bytes\":%llu,\"reads\":%llu,\"http_chunks\":%llu,\"conns_opened\":%llu,\"max_open\":%d,", bad_status, bad_sample, wall, ok / wall, (unsigned long long)tokens, tokens / wall, (unsigned long long)bytes, (unsigned long long)reads, (unsigned long long)hchunks, (unsigned long long)conns_opened, maxopen);
  hprint("lat", &h_lat); hprint("ttft", &h_ttft); hprint("gap", &h_gap); hprint("transit", &h_transit);
  printf("\"cpu_s\":%.3f}\n", ru.ru_utime.tv_sec + ru.ru_utime.tv_usec / 1e6 + ru.ru_stime.tv_sec + ru.ru_stime.tv_usec / 1e6);
  return te ? 1 : 0;
}
