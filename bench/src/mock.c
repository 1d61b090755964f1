// mock: an LLM upstream mock (epoll, one thread) for benchmarking gateways.
//   mock PORT [KEY]      KEY: if given, every POST must carry it (Bearer / x-api-key / x-goog-api-key)
// Behaviour comes from the model name: "mock-NxD" = N text deltas, D ms between them
// (default mock-200x0).  For non-stream requests D ms are waited before the answer.
// Every SSE event is its own HTTP chunk and its own write(2) (TCP_NODELAY); with D=0 all open
// streams are served round robin, one event each per turn.
// Each delta's text is " tkIIII.TTTTTTTTTT": I = index from 1, T = CLOCK_MONOTONIC in us mod 1e10,
// so that a client on the same machine can check order/completeness and compute transit time.
// POST /v1/chat/completions, /v1/messages, /v1/responses, /v1/embeddings,
//      .../models/M:streamGenerateContent, .../models/M:generateContent
// GET  /v1/models, /health, /stats (counters), /last (last POST head+body), /reset
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <ctype.h>
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
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { K_CHAT = 1, K_MSG, K_RESP, K_GEM };
typedef struct conn {
  int fd, want_out, close_after;
  char *in; size_t ilen, icap;
  char *out; size_t olen, ooff, ocap;
  int kind, n, delay, step, total;      // streaming state (kind != 0)
  char model[96];
  uint64_t due; int hpos;               // timer heap
  struct conn *rp, *rn; int inready;    // ready ring (delay 0)
  int pend;                             // delayed non-stream answer: kind of body
} conn;

static int ep; static const char *key;
static uint64_t st_req, st_stream, st_done, st_ev, st_401, st_404, st_bytes, st_conns, st_open, st_abort;
static uint64_t st_kind[5], st_emb;
static char *last; static size_t lastn;
static char *emb_float, *emb_b64;
static size_t emb_float_n, emb_b64_n;

static uint64_t now_us(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (uint64_t)t.tv_sec * 1000000u + t.tv_nsec / 1000; }

// ---- timer heap -------------------------------------------------------------------------------
static conn **hp; static int hn, hc;
static void hswap(int a, int b) { conn *t = hp[a]; hp[a] = hp[b]; hp[b] = t; hp[a]->hpos = a; hp[b]->hpos = b; }
static void hup(int i) { while (i > 0 && hp[(i - 1) / 2]->due > hp[i]->due) { hswap(i, (i - 1) / 2); i = (i - 1) / 2; } }
static void hdown(int i) { for (;;) { int l = 2 * i + 1, m = i; if (l < hn && hp[l]->due < hp[m]->due) m = l; if (l + 1 < hn && hp[l + 1]->due < hp[m]->due) m = l + 1; if (m == i) return; hswap(i, m); i = m; } }
static void hpush(conn *c) { if (hn == hc) { hc = hc ? hc * 2 : 256; hp = realloc(hp, hc * sizeof *hp); } hp[hn] = c; c->hpos = hn++; hup(c->hpos); }
static void hdel(conn *c) { int i = c->hpos; if (i < 0) return; c->hpos = -1; hn--; if (i == hn) return; hp[i] = hp[hn]; hp[i]->hpos = i; hup(i); hdown(i); }
// ---- ready ring -------------------------------------------------------------------------------
static conn ring; 
static void radd(conn *c) { if (c->inready) return; c->inready = 1; c->rp = ring.rp; c->rn = &ring; ring.rp->rn = c; ring.rp = c; }
static void rdel(conn *c) { if (!c->inready) return; c->inready = 0; c->rp->rn = c->rn; c->rn->rp = c->rp; }

static void evmod(conn *c) { struct epoll_event e = {.events = EPOLLIN | EPOLLRDHUP | (c->want_out ? EPOLLOUT : 0), .data.ptr = c}; epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e); }
static conn *graveyard;                  // closed during this batch of events: freed after it
static void cclose(conn *c) {
  if (c->fd < 0) return;
  if (c->kind || c->pend) st_abort++;
  close(c->fd); c->fd = -1; hdel(c); rdel(c); st_open--;
  c->rn = graveyard; graveyard = c;
}
static int csend(conn *c, const char *p, size_t n) {   // 0 = all sent, 1 = queued, -1 = closed
  st_bytes += n;
  if (c->olen == c->ooff) {
    ssize_t w = send(c->fd, p, n, MSG_NOSIGNAL);
    if (w < 0) { if (errno != EAGAIN) { cclose(c); return -1; } w = 0; }
    if ((size_t)w == n) return 0;
    p += w; n -= w; c->olen = c->ooff = 0;
  }
  if (c->olen + n > c->ocap) { c->ocap = (c->olen + n) * 2; c->out = realloc(c->out, c->ocap); }
  memcpy(c->out + c->olen, p, n); c->olen += n;
  if (!c->want_out) { c->want_out = 1; evmod(c); }
  return 1;
}
static const char LOREM[] = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua. Ut enim ad minim veniam, quis nostrud exercitation ullamco laboris nisi ut aliquip ex ea commodo consequat. Duis aute irure dolor in reprehenderit in voluptate velit esse cillum dolore eu fugiat nulla pariatur. Excepteur sint occaecat cupidatat non proident, sunt in culpa qui officia deserunt mollit anim id est laborum. mock-ok";

static int answer(conn *c, int code, const char *ctype, const char *body, size_t n) {
  char h[512];
  int k = snprintf(h, sizeof h, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nx-request-id: req_mock0001\r\nx-ratelimit-remaining-requests: 9999\r\nConnection: %s\r\n\r\n",
                   code, code == 200 ? "OK" : "Error", ctype, n, c->close_after ? "close" : "keep-alive");
  char *b = malloc(k + n); memcpy(b, h, k); memcpy(b + k, body, n);
  int r = csend(c, b, k + n); free(b); st_done++;
  return r;
}
#define USAGE_CHAT "{\"prompt_tokens\":23,\"completion_tokens\":%d,\"total_tokens\":%d,\"prompt_tokens_details\":{\"cached_tokens\":0,\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0,\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}"

static int body_nonstream(conn *c, int kind, char *b, size_t cap) {
  switch (kind) {
  case K_CHAT: return snprintf(b, cap, "{\"id\":\"chatcmpl-BmockMOCKmockMOCKmockMOCK0001\",\"object\":\"chat.completion\",\"created\":1750000000,\"model\":\"%s\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null,\"annotations\":[]},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":" USAGE_CHAT ",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock000001\"}", c->model, LOREM, 120, 143);
  case K_MSG: return snprintf(b, cap, "{\"id\":\"msg_01mockMOCKmockMOCKmock\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"%s\",\"content\":[{\"type\":\"text\",\"text\":\"%s\"}],\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":23,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":120,\"service_tier\":\"standard\"}}", c->model, LOREM);
  case K_RESP: return snprintf(b, cap, "{\"id\":\"resp_mock0001\",\"object\":\"response\",\"created_at\":1750000000,\"status\":\"completed\",\"error\":null,\"incomplete_details\":null,\"instructions\":null,\"model\":\"%s\",\"output\":[{\"type\":\"message\",\"id\":\"msg_mock0001\",\"status\":\"completed\",\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\",\"text\":\"%s\",\"annotations\":[],\"logprobs\":[]}]}],\"parallel_tool_calls\":true,\"temperature\":1.0,\"tool_choice\":\"auto\",\"tools\":[],\"top_p\":1.0,\"metadata\":{},\"usage\":{\"input_tokens\":23,\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":120,\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":143}}", c->model, LOREM);
  default: return snprintf(b, cap, "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"%s\"}],\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":23,\"candidatesTokenCount\":120,\"totalTokenCount\":143},\"modelVersion\":\"%s\",\"responseId\":\"mock0001\"}", LOREM, c->model);
  }
}
// ---- stream events ----------------------------------------------------------------------------
static int npre(int k) { return k == K_CHAT ? 1 : k == K_MSG ? 3 : k == K_RESP ? 4 : 0; }
static int npost(int k) { return k == K_CHAT ? 3 : k == K_MSG ? 3 : k == K_RESP ? 4 : 1; }
#define CH "data: {\"id\":\"chatcmpl-BmockMOCKmockMOCKmockMOCK0001\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,\"model\":\"%s\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_mock000001\",\"choices\":"
static int event(conn *c, char *b, size_t cap) {
  int s = c->step, P = npre(c->kind), N = c->n; char tok[32]; int i = s - P + 1;
  int delta = s >= P && s < P + N;
  if (delta) snprintf(tok, sizeof tok, " tk%04d.%010llu", i % 10000, (unsigned long long)(now_us() % 10000000000ull));
  int q = s - P - N;  // index in the closing events
  switch (c->kind) {
  case K_CHAT:
    if (delta) return snprintf(b, cap, CH "[{\"index\":0,\"delta\":{\"content\":\"%s\"},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n", c->model, tok);
    if (s < P) return snprintf(b, cap, CH "[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null},\"logprobs\":null,\"finish_reason\":null}],\"usage\":null}\n\n", c->model);
    if (q == 0) return snprintf(b, cap, CH "[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}],\"usage\":null}\n\n", c->model);
    if (q == 1) return snprintf(b, cap, CH "[],\"usage\":" USAGE_CHAT "}\n\n", c->model, N, N + 23);
    return snprintf(b, cap, "data: [DONE]\n\n");
  case K_MSG:
    if (delta) return snprintf(b, cap, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"%s\"}}\n\n", tok);
    if (s == 0) return snprintf(b, cap, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_01mockMOCKmockMOCKmock\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"%s\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":23,\"cache_creation_input_tokens\":0,\"cache_read_input_tokens\":0,\"output_tokens\":1,\"service_tier\":\"standard\"}}}\n\n", c->model);
    if (s == 1) return snprintf(b, cap, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
    if (s == 2) return snprintf(b, cap, "event: ping\ndata: {\"type\": \"ping\"}\n\n");
    if (q == 0) return snprintf(b, cap, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n");
    if (q == 1) return snprintf(b, cap, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":%d}}\n\n", N);
    return snprintf(b, cap, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
  case K_RESP: {
#define RB "\"id\":\"resp_mock0001\",\"object\":\"response\",\"created_at\":1750000000,\"error\":null,\"incomplete_details\":null,\"instructions\":null,\"parallel_tool_calls\":true,\"tool_choice\":\"auto\",\"tools\":[],\"metadata\":{},\"temperature\":1.0,\"top_p\":1.0,\"model\":\"%s\""
    if (delta) return snprintf(b, cap, "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":%d,\"item_id\":\"msg_mock0001\",\"output_index\":0,\"content_index\":0,\"delta\":\"%s\",\"logprobs\":[]}\n\n", s, tok);
    if (s < 2) return snprintf(b, cap, "event: response.%s\ndata: {\"type\":\"response.%s\",\"sequence_number\":%d,\"response\":{" RB ",\"status\":\"in_progress\",\"output\":[],\"usage\":null}}\n\n", s ? "in_progress" : "created", s ? "in_progress" : "created", s, c->model);
    if (s == 2) return snprintf(b, cap, "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":2,\"output_index\":0,\"item\":{\"id\":\"msg_mock0001\",\"type\":\"message\",\"status\":\"in_progress\",\"content\":[],\"role\":\"assistant\"}}\n\n");
    if (s == 3) return snprintf(b, cap, "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":3,\"item_id\":\"msg_mock0001\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"\"}}\n\n");
    if (q == 0) return snprintf(b, cap, "event: response.output_text.done\ndata: {\"type\":\"response.output_text.done\",\"sequence_number\":%d,\"item_id\":\"msg_mock0001\",\"output_index\":0,\"content_index\":0,\"text\":\"(all)\",\"logprobs\":[]}\n\n", s);
    if (q == 1) return snprintf(b, cap, "event: response.content_part.done\ndata: {\"type\":\"response.content_part.done\",\"sequence_number\":%d,\"item_id\":\"msg_mock0001\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"(all)\"}}\n\n", s);
    if (q == 2) return snprintf(b, cap, "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":%d,\"output_index\":0,\"item\":{\"id\":\"msg_mock0001\",\"type\":\"message\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"(all)\"}],\"role\":\"assistant\"}}\n\n", s);
    return snprintf(b, cap, "event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":%d,\"response\":{" RB ",\"status\":\"completed\",\"output\":[{\"id\":\"msg_mock0001\",\"type\":\"message\",\"status\":\"completed\",\"content\":[{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"(all)\"}],\"role\":\"assistant\"}],\"usage\":{\"input_tokens\":23,\"input_tokens_details\":{\"cached_tokens\":0},\"output_tokens\":%d,\"output_tokens_details\":{\"reasoning_tokens\":0},\"total_tokens\":%d}}}\n\n", s, c->model, N, N + 23); }
  default:
    if (delta) return snprintf(b, cap, "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"%s\"}],\"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 23,\"candidatesTokenCount\": %d,\"totalTokenCount\": %d},\"modelVersion\": \"%s\",\"responseId\": \"mock0001\"}\r\n\r\n", tok, i, i + 23, c->model);
    return snprintf(b, cap, "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"\"}],\"role\": \"model\"},\"finishReason\": \"STOP\",\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 23,\"candidatesTokenCount\": %d,\"totalTokenCount\": %d},\"modelVersion\": \"%s\",\"responseId\": \"mock0001\"}\r\n\r\n", N, N + 23, c->model);
  }
}
static void process(conn *c);
static int send_event(conn *c) {        // one event; 1 = go on, 0 = stream over / conn closed / blocked
  char b[4096]; char *p = b + 16;
  int n = event(c, p, sizeof b - 64);
  char h[16]; int k = snprintf(h, sizeof h, "%x\r\n", n);
  memcpy(p - k, h, k); memcpy(p + n, "\r\n", 2); size_t len = k + n + 2;
  int lastev = ++c->step == c->total;
  if (lastev) { memcpy(p - k + len, "0\r\n\r\n", 5); len += 5; }
  st_ev++;
  int r = csend(c, p - k, len);
  if (r < 0) return 0;
  if (lastev) { c->kind = 0; st_done++; rdel(c); if (c->close_after) { if (r == 0) { cclose(c); } return 0; } if (c->ilen && c->fd >= 0) process(c); return 0; }
  if (r == 1) { rdel(c); return 0; }     // blocked: resumed by EPOLLOUT
  return 1;
}
static int is_delta(conn *c) { int P = npre(c->kind); return c->step >= P && c->step < P + c->n; }
static void schedule(conn *c) {          // arrange for the next event
  if (c->fd < 0 || !c->kind) return;
  if (c->delay && is_delta(c)) { c->due = now_us() + (uint64_t)c->delay * 1000; hpush(c); }
  else radd(c);
}
static void pump(conn *c) { rdel(c); if (send_event(c)) schedule(c); }

static char *find_ci(char *h, char *e, const char *name) {  // header value in [h,e)
  size_t n = strlen(name);
  for (char *p = h; p < e;) { char *nl = memchr(p, '\n', e - p); if (!nl) nl = e; if ((size_t)(nl - p) > n && !strncasecmp(p, name, n) && p[n] == ':') { p += n + 1; while (*p == ' ') p++; return p; } p = nl + 1; }
  return NULL;
}
static char *jfind(char *b, size_t n, const char *k) {   // value position of the first "k":
  char pat[64]; int m = snprintf(pat, sizeof pat, "\"%s\"", k); char *p = b, *e = b + n;
  while ((p = memmem(p, e - p, pat, m))) { p += m; char *v = p; while (v < e && isspace((unsigned char)*v)) v++; if (v < e && *v == ':') { v++; while (v < e && isspace((unsigned char)*v)) v++; return v; } }
  return NULL;
}
static void set_model(conn *c, const char *v, size_t maxn) {
  size_t i = 0; while (i < maxn && i < sizeof c->model - 1 && v[i] != '"' && v[i] != ':' && v[i] != '\\') { c->model[i] = v[i]; i++; } c->model[i] = 0;
  int n, d; char *p = strstr(c->model, "mock-"); if (p && sscanf(p, "mock-%dx%d", &n, &d) == 2) { c->n = n; c->delay = d; }
}
static void keep(char *h, size_t hn_, char *b, size_t bn) { if (bn > 400000) bn = 400000; last = realloc(last, hn_ + bn); memcpy(last, h, hn_); memcpy(last + hn_, b, bn); lastn = hn_ + bn; }

static void handle(conn *c, char *head, size_t hlen, char *body, size_t blen) {
  char *he = head + hlen, *sp = memchr(head, ' ', hlen); char *path = sp ? sp + 1 : head; char *pe = memchr(path, ' ', he - path); size_t pl = pe ? (size_t)(pe - path) : 0;
  char *cv = find_ci(head, he, "connection"); c->close_after = cv && !strncasecmp(cv, "close", 5);
  char b[8192]; int n;
#define PATHIS(s) (pl >= sizeof(s) - 1 && memmem(path, pl, s, sizeof(s) - 1))
  if (head[0] == 'G') {
    if (PATHIS("/health")) { answer(c, 200, "text/plain", "ok", 2); return; }
    if (PATHIS("/last")) { answer(c, 200, "text/plain", last ? last : "", lastn); return; }
    if (PATHIS("/reset")) { st_req = st_stream = st_done = st_ev = st_401 = st_404 = st_bytes = st_conns = st_abort = st_emb = 0; memset(st_kind, 0, sizeof st_kind); answer(c, 200, "text/plain", "ok", 2); return; }
    if (PATHIS("/stats")) { n = snprintf(b, sizeof b, "{\"requests\":%llu,\"streams\":%llu,\"done\":%llu,\"events\":%llu,\"e401\":%llu,\"e404\":%llu,\"bytes\":%llu,\"conns\":%llu,\"open\":%llu,\"aborted\":%llu,\"chat\":%llu,\"messages\":%llu,\"responses\":%llu,\"gemini\":%llu,\"embeddings\":%llu}", (unsigned long long)st_req, (unsigned long long)st_stream, (unsigned long long)st_done, (unsigned long long)st_ev, (unsigned long long)st_401, (unsigned long long)st_404, (unsigned long long)st_bytes, (unsigned long long)st_conns, (unsigned long long)st_open, (unsigned long long)st_abort, (unsigned long long)st_kind[1], (unsigned long long)st_kind[2], (unsigned long long)st_kind[3], (unsigned long long)st_kind[4], (unsigned long long)st_emb); answer(c, 200, "application/json", b, n); return; }
    if (PATHIS("/models")) { static const char m[] = "{\"object\":\"list\",\"data\":[{\"id\":\"mock-200x0\",\"object\":\"model\",\"created\":1750000000,\"owned_by\":\"mock\"},{\"id\":\"mock-200x20\",\"object\":\"model\",\"created\":1750000000,\"owned_by\":\"mock\"}]}"; answer(c, 200, "application/json", m, sizeof m - 1); return; }
  }
  if (head[0] == 'P') {
    st_req++; keep(head, hlen, body, blen);
    if (key) {
      size_t kl = strlen(key); char *a = find_ci(head, he, "authorization"), *x = find_ci(head, he, "x-api-key"), *g = find_ci(head, he, "x-goog-api-key");
      int ok = (a && !strncasecmp(a, "Bearer ", 7) && !strncmp(a + 7, key, kl)) || (x && !strncmp(x, key, kl)) || (g && !strncmp(g, key, kl)) || memmem(path, pl, key, kl);
      if (!ok) { st_401++; static const char m[] = "{\"error\":{\"message\":\"Incorrect API key provided\",\"type\":\"invalid_request_error\",\"code\":\"invalid_api_key\"}}"; answer(c, 401, "application/json", m, sizeof m - 1); return; }
    }
    c->n = 200; c->delay = 0; strcpy(c->model, "mock-200x0"); int kind = 0, stream = 0;
    if (PATHIS("/chat/completions")) kind = K_CHAT;
    else if (PATHIS("/messages")) kind = K_MSG;
    else if (PATHIS("/responses")) kind = K_RESP;
    else if (PATHIS("enerateContent")) { kind = K_GEM; stream = PATHIS("streamGenerateContent"); char *m = memmem(path, pl, "/models/", 8); if (m) set_model(c, m + 8, path + pl - m - 8); }
    if (kind && kind != K_GEM) { char *m = jfind(body, blen, "model"); if (m && *m == '"') set_model(c, m + 1, body + blen - m - 1); char *s = jfind(body, blen, "stream"); stream = s && body + blen - s >= 4 && !memcmp(s, "true", 4); }
    if (kind) st_kind[kind]++;
    if (kind && stream) {
      st_stream++; c->kind = kind; c->step = 0; c->total = npre(kind) + c->n + npost(kind);
      n = snprintf(b, sizeof b, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\nx-request-id: req_mock0001\r\nTransfer-Encoding: chunked\r\nConnection: %s\r\n\r\n", c->close_after ? "close" : "keep-alive");
      if (csend(c, b, n) < 0) return;
      schedule(c); return;
    }
    if (kind) { if (c->delay) { c->pend = kind; c->due = now_us() + (uint64_t)c->delay * 1000; hpush(c); return; } n = body_nonstream(c, kind, b, sizeof b); answer(c, 200, "application/json", b, n); return; }
    if (PATHIS("/embeddings")) { st_emb++; char *f = jfind(body, blen, "encoding_format"); int b64 = f && body + blen - f > 7 && !memcmp(f, "\"base64", 7); if (b64) answer(c, 200, "application/json", emb_b64, emb_b64_n); else answer(c, 200, "application/json", emb_float, emb_float_n); return; }
  }
  st_404++; static const char m[] = "{\"error\":{\"message\":\"not found\",\"type\":\"invalid_request_error\",\"code\":null}}"; answer(c, 404, "application/json", m, sizeof m - 1);
}
static void process(conn *c) {           // parse as many requests as are complete
  while (c->fd >= 0 && !c->kind && !c->pend && c->ilen) {
    char *e = memmem(c->in, c->ilen, "\r\n\r\n", 4); if (!e) return;
    size_t hlen = e + 4 - c->in, blen = 0, used; char *tmp = NULL, *body = c->in + hlen;
    char *cl = find_ci(c->in, e + 2, "content-length"), *te = find_ci(c->in, e + 2, "transfer-encoding");
    if (te && !strncasecmp(te, "chunked", 7)) {
      tmp = malloc(c->ilen); char *p = body, *end = c->in + c->ilen; int done = 0;
      for (;;) { char *nl = memmem(p, end - p, "\r\n", 2); if (!nl) break; size_t k = strtoul(p, NULL, 16); p = nl + 2; if ((size_t)(end - p) < k + 2) break; memcpy(tmp + blen, p, k); blen += k; p += k + 2; if (!k) { done = 1; break; } }
      if (!done) { free(tmp); return; }
      used = p - c->in; body = tmp;
    } else { blen = cl ? strtoul(cl, NULL, 10) : 0;
      if (c->ilen < hlen + blen) { char *x = find_ci(c->in, e + 2, "expect"); if (x && c->ilen == hlen) csend(c, "HTTP/1.1 100 Continue\r\n\r\n", 25); if (c->icap < hlen + blen + 1) { c->icap = hlen + blen + 4096; c->in = realloc(c->in, c->icap); } return; }
      used = hlen + blen; }
    handle(c, c->in, hlen, body, blen); free(tmp);
    if (c->fd < 0) return;
    memmove(c->in, c->in + used, c->ilen - used); c->ilen -= used;
    if (c->close_after && !c->kind && !c->pend && c->olen == c->ooff) { cclose(c); return; }
  }
}
static void on_read(conn *c) {
  for (;;) {
    if (c->icap - c->ilen < 4096) { c->icap = c->icap ? c->icap * 2 : 16384; c->in = realloc(c->in, c->icap); }
    ssize_t r = recv(c->fd, c->in + c->ilen, c->icap - c->ilen - 1, 0);
    if (r == 0) { cclose(c); return; }
    if (r < 0) { if (errno == EAGAIN) break; cclose(c); return; }
    c->ilen += r; int full = c->icap - c->ilen <= 1; if (!full) break;
  }
  process(c);
}
static volatile int stop; static void onsig(int s) { (void)s; stop = 1; }
int main(int ac, char **av) {
  int port = ac > 1 ? atoi(av[1]) : 19000; key = ac > 2 && *av[2] ? av[2] : NULL;
  signal(SIGPIPE, SIG_IGN); signal(SIGTERM, onsig); signal(SIGINT, onsig);
  ring.rp = ring.rn = &ring;
  { // embeddings answers, 1536 dimensions
    size_t cap = 64 * 1024; char *f = malloc(cap); size_t n = sprintf(f, "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":["); float v[1536];
    for (int i = 0; i < 1536; i++) { v[i] = ((i * 7919) % 2000 - 1000) / 25000.0f; n += sprintf(f + n, "%s%.9g", i ? "," : "", v[i]); }
    static const char tail[] = "\"model\":\"text-embedding-mock\",\"usage\":{\"prompt_tokens\":8,\"total_tokens\":8}}";
    n += sprintf(f + n, "]}],%s", tail); emb_float = f; emb_float_n = n;
    char *g = malloc(cap); n = sprintf(g, "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":\"");
    static const char A[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"; unsigned char *u = (unsigned char *)v;
    for (size_t i = 0; i < sizeof v; i += 3) { unsigned x = u[i] << 16 | u[i + 1] << 8 | u[i + 2]; g[n++] = A[x >> 18]; g[n++] = A[x >> 12 & 63]; g[n++] = A[x >> 6 & 63]; g[n++] = A[x & 63]; }
    n += sprintf(g + n, "\"}],%s", tail); emb_b64 = g; emb_b64_n = n; }
  int ls = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1; setsockopt(ls, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)}; a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(ls, (void *)&a, sizeof a) || listen(ls, 4096)) { perror("bind/listen"); return 1; }
  ep = epoll_create1(EPOLL_CLOEXEC); struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}; epoll_ctl(ep, EPOLL_CTL_ADD, ls, &e);
  fprintf(stderr, "mockup on 127.0.0.1:%d\n", port);
  struct epoll_event ev[512];
  while (!stop) {
    int to = 1000; if (ring.rn != &ring) to = 0; else if (hn) { uint64_t nw = now_us(); to = hp[0]->due <= nw ? 0 : (int)((hp[0]->due - nw + 999) / 1000); }
    int k = epoll_wait(ep, ev, 512, to);
    for (int i = 0; i < k; i++) {
      conn *c = ev[i].data.ptr;
      if (!c) { for (int j = 0; j < 256; j++) { int fd = accept4(ls, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); if (fd < 0) break; setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one); c = calloc(1, sizeof *c); c->fd = fd; c->hpos = -1; st_conns++; st_open++; struct epoll_event n = {.events = EPOLLIN | EPOLLRDHUP, .data.ptr = c}; epoll_ctl(ep, EPOLL_CTL_ADD, fd, &n); } continue; }
      if (c->fd < 0) continue;
      if (ev[i].events & (EPOLLHUP | EPOLLERR)) { cclose(c); continue; }
      if (ev[i].events & EPOLLOUT) {
        ssize_t w = send(c->fd, c->out + c->ooff, c->olen - c->ooff, MSG_NOSIGNAL);
        if (w < 0 && errno != EAGAIN) { cclose(c); continue; }
        if (w > 0) c->ooff += w;
        if (c->ooff == c->olen) { c->ooff = c->olen = 0; c->want_out = 0; evmod(c); if (c->kind) { if (c->hpos < 0) schedule(c); } else if (c->close_after) { cclose(c); continue; } else process(c); }
        if (c->fd < 0) continue;
      }
      if (ev[i].events & (EPOLLIN | EPOLLRDHUP)) on_read(c);
    }
    uint64_t nw = now_us();
    while (hn && hp[0]->due <= nw) { conn *c = hp[0]; hdel(c); if (c->pend) { char b[8192]; int kd = c->pend; c->pend = 0; int n = body_nonstream(c, kd, b, sizeof b); if (answer(c, 200, "application/json", b, n) == 0 && c->close_after) cclose(c); else if (c->fd >= 0) process(c); } else { int d = is_delta(c); (void)d; uint64_t due = c->due; if (send_event(c)) { if (c->delay && is_delta(c)) { c->due = due + (uint64_t)c->delay * 1000; if (c->due < nw) c->due = nw; hpush(c); } else radd(c); } } }
    // one turn of the ready ring
    conn *endc = ring.rp; if (endc != &ring) for (conn *c = ring.rn;;) { conn *nx = c->rn; int lastc = c == endc; pump(c); if (lastc || nx == &ring) break; c = nx; }
    while (graveyard) { conn *c = graveyard; graveyard = c->rn; free(c->in); free(c->out); free(c); }
  }
  return 0;
}
