#!/bin/bash
# MegaTTS3 健康检查脚本

MEGATTS3_URL="http://localhost:9000"

# 检查服务状态
check_health() {
    response=$(curl -s -w "%{http_code}" -o /dev/null "$MEGATTS3_URL/health")
    
    if [ "$response" = "200" ]; then
        echo "✅ MegaTTS3 服务正常"
        return 0
    else
        echo "❌ MegaTTS3 服务异常 (HTTP: $response)"
        return 1
    fi
}

# 检查GPU状态
check_gpu() {
    if command -v nvidia-smi &> /dev/null; then
        gpu_memory=$(nvidia-smi --query-gpu=memory.used --format=csv,noheader,nounits | head -1)
        echo "🔧 GPU内存使用: ${gpu_memory}MB"
    else
        echo "⚠️  未检测到NVIDIA GPU"
    fi
}

# 检查磁盘空间
check_disk() {
    disk_usage=$(df -h /app/storage | awk 'NR==2 {print $5}' | sed 's/%//')
    
    if [ "$disk_usage" -gt 80 ]; then
        echo "⚠️  存储空间不足: ${disk_usage}%"
    else
        echo "💾 存储空间充足: ${disk_usage}%"
    fi
}

# 执行检查
echo "🔍 MegaTTS3 健康检查开始..."
check_health
check_gpu
check_disk
echo "✨ 健康检查完成"
