<?php $config = json_decode(file_get_contents("config.json")); ?>
<h1>php-like version 1</h1>
<p>database <?php echo $config->db_host; ?></p>
