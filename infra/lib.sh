# Functions that the scripts in this folder share.

# Older versions of the AWS CLI read only AWS_DEFAULT_REGION.
export AWS_DEFAULT_REGION=${AWS_DEFAULT_REGION:-${AWS_REGION:-}}
[ -n "$AWS_DEFAULT_REGION" ] || unset AWS_DEFAULT_REGION

say() { echo "infra: $*" >&2; }
stop() { say "$@"; exit 1; }

# The machine's architecture, by AWS's name.
own_architecture() {
    case $(uname -m) in
        aarch64 | arm64) echo arm64 ;;
        x86_64) echo x86_64 ;;
        *) stop "unsupported architecture $(uname -m)" ;;
    esac
}

# The hash of a file, for a name that changes only with its content.
hash_of() { openssl dgst -sha256 -r "$1" | cut -c1-16; }

# Builds a target of infra/Dockerfile for an architecture.
build_image() {
    local architecture=$1 target=$2
    shift 2
    command -v docker > /dev/null || stop "Docker not found; install it, or use --image, or --worker for ec2"
    say "building $target for $architecture; takes about half an hour on two cores the first time"
    docker buildx build --platform "linux/${architecture/x86_64/amd64}" --file "$here/Dockerfile" --target "$target" "$@" \
        "$here/.." >&2
}

# Prints an output of a stack; nothing if the stack or the output does not exist.
output() {
    local value
    value=$(aws cloudformation describe-stacks --stack-name "$1" --output text \
        --query "Stacks[0].Outputs[?OutputKey=='$2'].OutputValue | [0]" 2> /dev/null) || value=
    [ "$value" = None ] || echo "$value"
}

stack_exists() { aws cloudformation describe-stacks --stack-name "$1" > /dev/null 2>&1; }

# Sets our entry in the bucket's notifications, or removes it if no kind and JSON are given. The notifications are one document;
# our entry has our name as its Id, and the others stay unchanged. A template could do this only for a bucket that it creates.
notify() {
    local bucket=$1 id=$2 kind=${3:-} entry=${4:-} query="" each ours after
    for each in LambdaFunctionConfigurations QueueConfigurations TopicConfigurations; do
        ours=""
        [ "$each" != "$kind" ] || ours=$entry
        query+="{$each: [$each[?Id!='$id'] || \`[]\`, \`[$ours]\`][]}, "
    done
    # An empty object enables EventBridge, but JMESPath treats it as false.
    query="merge($query EventBridgeConfiguration != null && {EventBridgeConfiguration: EventBridgeConfiguration} || \`{}\`)"
    after=$(aws s3api get-bucket-notification-configuration --bucket "$bucket" --output json --query "$query")
    aws s3api put-bucket-notification-configuration --bucket "$bucket" --notification-configuration "$after"
}
