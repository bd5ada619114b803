/*
 * Preloaded into an unmodified bluetooth-meshd (BlueZ 5.66 to 5.83), so that it runs without kernel crypto
 * and without a radio. Compiled on demand by shim.py. Four parts, each independent of the others:
 *
 *   crypto        the daemon asks ELL, and ELL the kernel (AF_ALG), which many kernels and containers lack:
 *                 the daemon then prints "Mesh Crypto functions unavailable" and hangs. The same calls are
 *                 answered here from libcrypto's AES.
 *   relay repair  BlueZ before 5.84 relays every packet without its NetMIC (mended upstream in 2b0a6fa08).
 *   air           the daemon's test I/O (--io unit:PATH) never names a peer, hands on one byte too many and
 *                 ignores datagrams under ten bytes. Its datagrams go to $MESHLAB_AIR.
 *   life          whoever is preloaded with this dies with the process $MESHLAB_PARENT.
 *
 * The four wrapped system calls go to the kernel by number: looking the wrapped symbol up would need libdl
 * and an order of constructors.
 */
#define _DEFAULT_SOURCE
/* AES_encrypt is deprecated in OpenSSL 3, not removed. The EVP interface would cost every one of hundreds of
 * daemons the start of OpenSSL's providers, in time and in memory. */
#define OPENSSL_SUPPRESS_DEPRECATED

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/aes.h>

#define BLOCK 16
#define NONCE 13          /* bytes; leaves CCM two for the length */
#define MAX_MIC 16
#define MAX_MESSAGE 512   /* the longest access message has 384 bytes */

/* ------------------------------------------------------------------------------------------- crypto -- */

/* CBC-MAC over bytes. A full block is encrypted only when the next byte comes, since CMAC treats its last
 * block differently. */
struct mac {
	const AES_KEY *key;
	uint8_t state[BLOCK];
	size_t fill;
};

static void mac_seal_block(struct mac *mac)
{
	AES_encrypt(mac->state, mac->state, mac->key);
	mac->fill = 0;
}

static void mac_add(struct mac *mac, const uint8_t *data, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (mac->fill == BLOCK)
			mac_seal_block(mac);
		mac->state[mac->fill++] ^= data[i];
	}
}

/* ELL's opaque types; the daemon holds pointers only. */
struct l_checksum {
	AES_KEY key;
	struct mac mac;
};

struct l_cipher {
	AES_KEY key;
};

struct l_aead_cipher {
	AES_KEY key;
	size_t mic_len;
};

/* AES-CMAC, RFC 4493. */

static void double_in_field(uint8_t block[BLOCK])
{
	uint8_t carry = block[0] >> 7;

	for (int i = 0; i < BLOCK - 1; i++)
		block[i] = (uint8_t)(block[i] << 1 | block[i + 1] >> 7);
	block[BLOCK - 1] = (uint8_t)(block[BLOCK - 1] << 1) ^ (carry ? 0x87 : 0);
}

struct l_checksum *l_checksum_new_cmac_aes(const void *key, size_t key_len)
{
	struct l_checksum *checksum = calloc(1, sizeof(*checksum));

	if (!checksum || AES_set_encrypt_key(key, (int)key_len * 8, &checksum->key)) {
		free(checksum);
		return NULL;
	}
	checksum->mac.key = &checksum->key;
	return checksum;
}

void l_checksum_free(struct l_checksum *checksum)
{
	free(checksum);
}

bool l_checksum_update(struct l_checksum *checksum, const void *data, size_t len)
{
	if (!checksum)
		return false;
	mac_add(&checksum->mac, data, len);
	return true;
}

/* Reading the digest starts the next message, as with AF_ALG: the daemon's k2() relies on it. */
ssize_t l_checksum_get_digest(struct l_checksum *checksum, void *digest, size_t len)
{
	uint8_t subkey[BLOCK] = {0};
	struct mac *mac;

	if (!checksum)
		return -EINVAL;
	mac = &checksum->mac;
	AES_encrypt(subkey, subkey, &checksum->key);
	double_in_field(subkey);
	if (mac->fill < BLOCK) {
		double_in_field(subkey);
		mac->state[mac->fill] ^= 0x80;
	}
	for (int i = 0; i < BLOCK; i++)
		mac->state[i] ^= subkey[i];
	mac_seal_block(mac);
	if (len > BLOCK)
		len = BLOCK;
	memcpy(digest, mac->state, len);
	memset(mac->state, 0, BLOCK);
	return (ssize_t)len;
}

/* AES-ECB: the network layer's obfuscation. ELL's type 0 is L_CIPHER_AES. */

struct l_cipher *l_cipher_new(int type, const void *key, size_t key_len)
{
	struct l_cipher *cipher = type == 0 ? calloc(1, sizeof(*cipher)) : NULL;

	if (!cipher || AES_set_encrypt_key(key, (int)key_len * 8, &cipher->key)) {
		free(cipher);
		return NULL;
	}
	return cipher;
}

void l_cipher_free(struct l_cipher *cipher)
{
	free(cipher);
}

bool l_cipher_encrypt(struct l_cipher *cipher, const void *in, void *out, size_t len)
{
	if (!cipher || len % BLOCK)
		return false;
	for (size_t i = 0; i < len; i += BLOCK)
		AES_encrypt((const uint8_t *)in + i, (uint8_t *)out + i, &cipher->key);
	return true;
}

/* AES-CCM with a 13-byte nonce, RFC 3610. ELL's type 0 is L_AEAD_CIPHER_AES_CCM. */

struct l_aead_cipher *l_aead_cipher_new(int type, const void *key, size_t key_len, size_t mic_len)
{
	struct l_aead_cipher *cipher = NULL;

	if (type == 0 && mic_len >= 4 && mic_len <= MAX_MIC && mic_len % 2 == 0)
		cipher = calloc(1, sizeof(*cipher));
	if (!cipher || AES_set_encrypt_key(key, (int)key_len * 8, &cipher->key)) {
		free(cipher);
		return NULL;
	}
	cipher->mic_len = mic_len;
	return cipher;
}

void l_aead_cipher_free(struct l_aead_cipher *cipher)
{
	free(cipher);
}

struct ccm {
	const struct l_aead_cipher *cipher;
	const uint8_t *nonce;
	const uint8_t *ad;
	size_t ad_len;
};

/* Block `counter` of the key stream. */
static void ccm_stream(const struct ccm *ccm, uint16_t counter, uint8_t block[BLOCK])
{
	block[0] = 1;
	memcpy(block + 1, ccm->nonce, NONCE);
	block[14] = (uint8_t)(counter >> 8);
	block[15] = (uint8_t)counter;
	AES_encrypt(block, block, &ccm->cipher->key);
}

static void ccm_crypt(const struct ccm *ccm, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t stream[BLOCK];

	for (size_t i = 0; i < len; i++) {
		if (i % BLOCK == 0)
			ccm_stream(ccm, (uint16_t)(i / BLOCK + 1), stream);
		out[i] = in[i] ^ stream[i % BLOCK];
	}
}

static void ccm_mic(const struct ccm *ccm, const uint8_t *plain, size_t len, uint8_t mic[BLOCK])
{
	uint8_t first[BLOCK], ad_len[2], stream[BLOCK];
	struct mac mac = { .key = &ccm->cipher->key };

	first[0] = (uint8_t)((ccm->ad_len ? 0x40 : 0) | (ccm->cipher->mic_len - 2) / 2 << 3 | 1);
	memcpy(first + 1, ccm->nonce, NONCE);
	first[14] = (uint8_t)(len >> 8);
	first[15] = (uint8_t)len;
	mac_add(&mac, first, BLOCK);
	if (ccm->ad_len) {
		ad_len[0] = (uint8_t)(ccm->ad_len >> 8);
		ad_len[1] = (uint8_t)ccm->ad_len;
		mac_add(&mac, ad_len, sizeof(ad_len));
		mac_add(&mac, ccm->ad, ccm->ad_len);
		mac.fill = BLOCK;       /* pad with zeros: the message starts a block */
	}
	mac_add(&mac, plain, len);
	mac_seal_block(&mac);
	ccm_stream(ccm, 0, stream);
	for (size_t i = 0; i < BLOCK; i++)
		mic[i] = mac.state[i] ^ stream[i];
}

/* Encrypt `len` bytes and append the MIC. `in` and `out` may be the same. */
static void ccm_seal(const struct ccm *ccm, const uint8_t *in, size_t len, uint8_t *out)
{
	uint8_t mic[BLOCK];

	ccm_mic(ccm, in, len, mic);
	ccm_crypt(ccm, in, len, out);
	memcpy(out + len, mic, ccm->cipher->mic_len);
}

/* Decrypt `len` bytes that a MIC follows. `plain` is worth something only if true is returned. */
static bool ccm_open(const struct ccm *ccm, const uint8_t *in, size_t len, uint8_t *plain)
{
	uint8_t mic[BLOCK], difference = 0;

	ccm_crypt(ccm, in, len, plain);
	ccm_mic(ccm, plain, len, mic);
	for (size_t i = 0; i < ccm->cipher->mic_len; i++)
		difference |= in[len + i] ^ mic[i];
	return !difference;
}

/* ------------------------------------------------------------------------------------- relay repair -- */

/*
 * To relay, the daemon decrypts a packet in place and encrypts the same bytes with the TTL one lower, at once.
 * The length it gives is that of the plain text where the encryption expects room for the MIC as well, so the
 * last mic_len bytes stay in clear and the packet is sent that much too short.
 *
 * We remember the last packet heard. When it is encrypted again, too short and with the next lower TTL, all of
 * it is encrypted; what fits goes back to the daemon, and the MIC waits here until send() meets the rest.
 */
#define NET_PLAIN 24            /* DST and transport PDU: at most 18 bytes */
#define WAITING 512             /* relayed packets that a daemon may have queued; the oldest are forgotten */
#define CTL_BIT 0x80
#define AD_NETWORK 0x2a
#define CLEAR_HEADER 8          /* AD type, IVI/NID, obfuscated CTL/TTL, SEQ, SRC */
#define PRIVACY 7               /* bytes that the daemon hides the header with: of a heartbeat one is the MIC's */
#define MAX_PDU 30              /* AD type and a network PDU of 29 bytes */

static struct {
	uint8_t nonce[NONCE];
	uint8_t plain[NET_PLAIN];
	size_t len;                 /* 0: nothing heard yet */
	size_t mic_len;
} heard;

struct relayed {
	uint8_t sealed[NET_PLAIN + MAX_MIC];
	size_t len;                 /* of the part that the daemon sends; the MIC follows it */
	size_t mic_len;
};

static struct relayed relayed[WAITING];
static size_t relayed_count;

/* Network nonces start with type 0 and are used without additional data (Mesh Protocol 3.9.5.1). */
static bool is_network(const struct ccm *ccm)
{
	return ccm->nonce[0] == 0 && !ccm->ad_len;
}

static void remember_heard(const struct ccm *ccm, const uint8_t *plain, size_t len)
{
	if (!is_network(ccm) || len > NET_PLAIN)
		return;
	memcpy(heard.nonce, ccm->nonce, NONCE);
	memcpy(heard.plain, plain, len);
	heard.len = len;
	heard.mic_len = ccm->cipher->mic_len;
}

/* The full plain text length if this is the relaying of the packet last heard, else 0. For a short control
 * message `len` has gone below zero as a uint16_t. */
static size_t relay_length(const struct ccm *ccm, size_t len)
{
	const uint8_t *now = ccm->nonce, *then = heard.nonce;
	size_t whole = (uint16_t)(len + ccm->cipher->mic_len);

	if (!heard.len || !is_network(ccm) || whole != heard.len || ccm->cipher->mic_len != heard.mic_len)
		return 0;
	if ((now[1] & CTL_BIT) != (then[1] & CTL_BIT) || (now[1] & 0x7f) + 1 != (then[1] & 0x7f))
		return 0;
	return memcmp(now + 2, then + 2, NONCE - 2) ? 0 : whole;
}

static void seal_relayed(const struct ccm *ccm, size_t whole, uint8_t *out)
{
	struct relayed *slot = &relayed[relayed_count++ % WAITING];

	ccm_seal(ccm, heard.plain, whole, slot->sealed);
	slot->len = whole;
	slot->mic_len = ccm->cipher->mic_len;
	memcpy(out, slot->sealed, whole < PRIVACY ? PRIVACY : whole);
}

/* The relayed packet whose first part `data` is, newest first. */
static const struct relayed *find_relayed(const uint8_t *data, size_t len)
{
	size_t known = relayed_count < WAITING ? relayed_count : WAITING;

	if (len <= CLEAR_HEADER || data[0] != AD_NETWORK)
		return NULL;
	for (size_t age = 1; age <= known; age++) {
		const struct relayed *slot = &relayed[(relayed_count - age) % WAITING];

		if (slot->len == len - CLEAR_HEADER && !memcmp(slot->sealed, data + CLEAR_HEADER, slot->len))
			return slot;
	}
	return NULL;
}

bool l_aead_cipher_encrypt(struct l_aead_cipher *cipher, const void *in, size_t in_len,
			   const void *ad, size_t ad_len, const void *nonce, size_t nonce_len,
			   void *out, size_t out_len)
{
	struct ccm ccm = { cipher, nonce, ad, ad_len };
	uint8_t sealed[MAX_MESSAGE + MAX_MIC];
	size_t whole;

	if (!cipher || nonce_len != NONCE)
		return false;
	whole = relay_length(&ccm, in_len);
	if (whole) {
		seal_relayed(&ccm, whole, out);
		return true;
	}
	if (in_len > MAX_MESSAGE || out_len < in_len + cipher->mic_len)
		return false;
	ccm_seal(&ccm, in, in_len, sealed);
	memcpy(out, sealed, in_len + cipher->mic_len);
	return true;
}

bool l_aead_cipher_decrypt(struct l_aead_cipher *cipher, const void *in, size_t in_len,
			   const void *ad, size_t ad_len, const void *nonce, size_t nonce_len,
			   void *out, size_t out_len)
{
	struct ccm ccm = { cipher, nonce, ad, ad_len };
	uint8_t plain[MAX_MESSAGE];
	size_t len;

	if (!cipher || nonce_len != NONCE || in_len < cipher->mic_len)
		return false;
	len = in_len - cipher->mic_len;
	if (len > MAX_MESSAGE || out_len < len || !ccm_open(&ccm, in, len, plain))
		return false;
	memcpy(out, plain, len);
	remember_heard(&ccm, plain, len);
	return true;
}

/* ---------------------------------------------------------------------------------------------- air -- */

static int unit_fd = -1;
static struct sockaddr_un air = { .sun_family = AF_UNIX };

static bool is_datagram(int fd)
{
	int type = 0;
	socklen_t len = sizeof(type);

	return !getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) && type == SOCK_DGRAM;
}

/* The only datagram Unix socket that the daemon binds is its test I/O. */
int bind(int fd, const struct sockaddr *address, socklen_t len)
{
	const char *path = getenv("MESHLAB_AIR");
	int result = (int)syscall(SYS_bind, fd, address, len);

	if (!result && path && address->sa_family == AF_UNIX && is_datagram(fd)) {
		strncpy(air.sun_path, path, sizeof(air.sun_path) - 1);
		unit_fd = fd;
	}
	return result;
}

/*
 * Air to node: [length][AD type][data] with length = 1 + data; a single 0 asks for the daemon's bus name.
 * The daemon takes recv()'s result, held in a size_t, for the length without its first byte, and ignores what
 * is under ten bytes, which some PB-ADV packets are.
 */
#define LEAST 10

static ssize_t mend_length(uint8_t *datagram, size_t room, ssize_t got)
{
	if (got < 0)
		return 0;       /* -1 would look huge */
	if (got < 2 || !datagram[0])
		return got;
	got -= 1;
	if (got < LEAST && room > LEAST) {
		memset(datagram + 1 + got, 0, (size_t)(LEAST - got));
		got = LEAST;
	}
	return got;
}

ssize_t recv(int fd, void *buffer, size_t room, int flags)
{
	ssize_t got = syscall(SYS_recvfrom, fd, buffer, room, flags, NULL, NULL);

	return fd == unit_fd ? mend_length(buffer, room, got) : got;
}

/* Node to air: [AD type][data]. The socket stays unconnected, so that it hears whoever sends to it and finds
 * an air that was started anew. */
ssize_t send(int fd, const void *data, size_t len, int flags)
{
	const struct relayed *rest;
	uint8_t whole[MAX_PDU];
	ssize_t sent;

	if (fd != unit_fd)
		return syscall(SYS_sendto, fd, data, len, flags, NULL, 0);
	rest = find_relayed(data, len);
	if (!rest || len + rest->mic_len > MAX_PDU)
		return syscall(SYS_sendto, fd, data, len, flags, &air, sizeof(air));
	memcpy(whole, data, len);
	memcpy(whole + len, rest->sealed + rest->len, rest->mic_len);
	sent = syscall(SYS_sendto, fd, whole, len + rest->mic_len, flags, &air, sizeof(air));
	return sent < 0 ? sent : (ssize_t)len;
}

/* --------------------------------------------------------------------------------------------- life -- */

/* SIGKILL, since it also ends a daemon that is paused. The kernel sends it when the parent's *thread* ends. */
__attribute__((constructor)) static void die_with_parent(void)
{
	const char *parent = getenv("MESHLAB_PARENT");

	if (!parent)
		return;
	syscall(SYS_prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != (pid_t)atol(parent))
		_exit(1);       /* it died before we asked */
}

/* The daemon asks for SIGSEGV at its parent's death, which would leave a core file for each node. */
int prctl(int option, ...)
{
	unsigned long value[4];
	va_list arguments;

	if (option == PR_SET_PDEATHSIG)
		return 0;
	va_start(arguments, option);
	for (int i = 0; i < 4; i++)
		value[i] = va_arg(arguments, unsigned long);
	va_end(arguments);
	return (int)syscall(SYS_prctl, option, value[0], value[1], value[2], value[3]);
}
