#!/bin/sh
# MegaTTS3 健康检查脚本 / health check: service, GPU, disk.  Exit 0 only when the service is ready and the disk is not full.
#   scripts/health_check.sh [URL] [STORAGE_DIR]        MEGATTS3_URL and MEGATTS3_STORAGE_DIR work too
set -u

URL="${1:-${MEGATTS3_URL:-http://localhost:9000}}"
STORAGE="${2:-${MEGATTS3_STORAGE_DIR:-$(dirname "$0")/../storage}}"
FULL_PERCENT=80
failed=0

http_status() {
    if command -v curl >/dev/null 2>&1; then
        curl -s -m 10 -w '%{http_code}' -o /dev/null "$1"
    else
        python3 - "$1" <<'PYTHON'
import sys
import urllib.error
import urllib.request

try:
    print(urllib.request.urlopen(sys.argv[1], timeout=10).status, end="")
except urllib.error.HTTPError as error:
    print(error.code, end="")
except OSError:
    print("000", end="")
PYTHON
    fi
}

check_health() {
    status="$(http_status "$URL/health")"
    if [ "$status" = 200 ]; then
        echo "✅ MegaTTS3 服务正常"
    else
        echo "❌ MegaTTS3 服务异常 (HTTP: ${status:-000})"
        failed=1
    fi
}

check_gpu() {
    if command -v nvidia-smi >/dev/null 2>&1; then
        nvidia-smi --query-gpu=index,memory.used,memory.total --format=csv,noheader,nounits |
            while IFS=', ' read -r index used total; do echo "🔧 GPU $index 内存使用: ${used}MB / ${total}MB"; done
    else
        echo "⚠️  未检测到NVIDIA GPU"
    fi
}

check_disk() {
    if ! [ -d "$STORAGE" ]; then
        echo "⚠️  存储目录不存在: $STORAGE"
        return
    fi
    used="$(df -P "$STORAGE" | awk 'NR==2 {sub("%", "", $5); print $5}')"
    if [ "$used" -gt "$FULL_PERCENT" ]; then
        echo "⚠️  存储空间不足: ${used}%"
        failed=1
    else
        echo "💾 存储空间充足: ${used}%"
    fi
}

echo "🔍 MegaTTS3 健康检查开始..."
check_health
check_gpu
check_disk
echo "✨ 健康检查完成"
exit "$failed"
