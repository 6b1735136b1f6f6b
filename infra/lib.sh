# What deploy and destroy share.

# Older versions of the AWS CLI know the region under another name than all else.
export AWS_DEFAULT_REGION=${AWS_DEFAULT_REGION:-${AWS_REGION:-}}
[ -n "$AWS_DEFAULT_REGION" ] || unset AWS_DEFAULT_REGION

say() { echo "infra: $*" >&2; }
stop() { say "$@"; exit 1; }

# As AWS calls it.
own_architecture() {
    case $(uname -m) in
        aarch64 | arm64) echo arm64 ;;
        x86_64) echo x86_64 ;;
        *) stop "no Lambda and no image for $(uname -m)" ;;
    esac
}

# The hash of a file: a name that changes when it does, and only then.
hash_of() { openssl dgst -sha256 -r "$1" | cut -c1-16; }

# What infra/Dockerfile makes under this name, for an architecture.
build_image() {
    local architecture=$1 target=$2
    shift 2
    command -v docker > /dev/null || stop "Docker builds the workers; without it give --image, or --worker for ec2"
    say "building $target for $architecture; a quarter of an hour the first time"
    docker buildx build --platform "linux/${architecture/x86_64/amd64}" --file "$here/Dockerfile" --target "$target" "$@" \
        "$here/.." >&2
}

# One output of a stack; empty if there is no such stack, or no such output.
output() {
    local value
    value=$(aws cloudformation describe-stacks --stack-name "$1" --output text \
        --query "Stacks[0].Outputs[?OutputKey=='$2'].OutputValue | [0]" 2> /dev/null) || value=
    [ "$value" = None ] || echo "$value"
}

stack_exists() { aws cloudformation describe-stacks --stack-name "$1" > /dev/null 2>&1; }

# The bucket's notifications are one document, of which that with our name as its Id is ours: it is replaced, and the others
# stay. (A template could do this only for a bucket that it makes itself.) With a kind and the entry's JSON it is set,
# without them taken away.
notify() {
    local bucket=$1 id=$2 kind=${3:-} entry=${4:-} query="" each ours after
    for each in LambdaFunctionConfigurations QueueConfigurations TopicConfigurations; do
        ours=""
        [ "$each" != "$kind" ] || ours=$entry
        query+="{$each: [$each[?Id!='$id'] || \`[]\`, \`[$ours]\`][]}, "
    done
    # An empty object, which is what says that EventBridge is told, counts as false.
    query="merge($query EventBridgeConfiguration != null && {EventBridgeConfiguration: EventBridgeConfiguration} || \`{}\`)"
    after=$(aws s3api get-bucket-notification-configuration --bucket "$bucket" --output json --query "$query")
    aws s3api put-bucket-notification-configuration --bucket "$bucket" --notification-configuration "$after"
}
