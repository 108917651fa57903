namespace JobHub.Engine.Storage.S3;

/// <summary>How to talk to one S3 server.</summary>
/// <param name="Credentials">Null = anonymous.</param>
public sealed record S3Settings(StorageEndpoint Endpoint, string Region, bool PathStyle, ChecksumMode Checksums, StorageCredentials? Credentials);
