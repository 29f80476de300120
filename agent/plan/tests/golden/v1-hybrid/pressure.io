some avg10=1.42 avg60=1.54 avg300=1.37 total=153572625
full avg10=0.00 avg60=0.00 avg300=0.00 total=32810640
