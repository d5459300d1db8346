
>

driver"	driver_idJdrivers
ı˜Ø éï®ı˜Ø éï®
>

__dummy"
__dummy_idJdrivers
ı˜Ø¸Òô®ı˜Ø¸Òô®1"$322b3f43-c3ce-4008-8b49-53647c9b561d*ı˜ØÀäÂÁ2õ
Ô
hourlydriversdriver"
	conv_rate"	
trips2€é:event_timestampZstats.parquetŠ1feast.infra.offline_stores.file_source.FileSource¢stats’ı˜ØÀè§•"ı˜ØØìØª@b
	driver_id’latest
ı˜Ø€¤Ò®ı˜Ø€¤Ò®:²
‘
activitydrivers|
hourly
	conv_rate	
tripsBKevent_timestampZstats.parquet¢stats’ı˜ØÀè§•"ı˜ØØìØªZfeatureView
ı˜ØĞ»ù®ı˜ØĞ»ù®b‰event_timestampZstats.parquetŠ1feast.infra.offline_stores.file_source.FileSource¢statsªdrivers’ı˜ØÀè§•"ı˜ØØìØªz/
drivers$3077fcb2-c390-4f83-875c-5560520a2ad7Š)
	
drivers
ı˜ØØÈäªı˜ØØÈäª’Î
Ë
hourlydrivers"feature_view*õ
Ô
hourlydriversdriver"
	conv_rate"	
trips2€é:event_timestampZstats.parquetŠ1feast.infra.offline_stores.file_source.FileSource¢stats’ı˜ØÀè§•"ı˜ØØìØª@b
	driver_id’latest
ı˜Ø€¤Ò®ı˜Ø€¤Ò®2ı˜ØĞßí®B$fbad7390-8aa5-4dee-9fbf-cdeb08fccad5